"""The schedule artifact as the compiler writes it: pydantic models and canonical bytes.

``schedules/README.md`` is the specification, ``schedules/schema.json`` is generated from these
models by :mod:`meancache_plan.schedule.schema`, and ``meancache_runtime.schedule`` is the
independent reader that ships with releases.
"""

import json
from itertools import pairwise
from os import PathLike
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator

from meancache_plan.core.grid import parted
from meancache_plan.errors import GridError, check_kind
from meancache_plan.files.atomic import write_atomically
from meancache_plan.files.validation import Step, Strict, Text, first_reason
from meancache_plan.schedule.generation import Also as Also
from meancache_plan.schedule.generation import Generation as Generation
from meancache_plan.schedule.generation import Measured as Measured
from meancache_plan.schedule.generation import check_calls
from meancache_plan.schedule.intervals import Interval, check_history
from meancache_plan.schedule.provenance import EitherProvenance, Provenance, StartProvenance
from meancache_runtime import schedule as runtime
from meancache_runtime import strict_json
from meancache_runtime.errors import ScheduleError
from meancache_runtime.snapshot import locate


class AdapterIdentity(Strict):
    """An adapter (LoRA) in effect. ``digest``: of its weights and scale; None if not known."""

    name: Text
    digest: Text | None


class ModelIdentity(Strict):
    """The model that a schedule is for, and how to recognise it."""

    id: Text
    revision: Text | None
    fingerprint: Text | None
    pipeline: Text | None
    scheduler: Text | None
    adapters: Annotated[
        tuple[AdapterIdentity, ...], Field(fail_fast=True, max_length=strict_json.MAX_ITEMS)
    ]

    def replayable(self) -> runtime.Model:
        """The same model as the runtime reads it."""
        adapters = tuple(runtime.Adapter(each.name, each.digest) for each in self.adapters)
        return runtime.Model(
            self.id, self.revision, self.fingerprint, self.pipeline, self.scheduler, adapters
        )


class Grid(Strict):
    """Noise levels σ₀ … σ_T, the last of which may be repeated; None fits any grid of ``steps``.

    ``replaces`` is the class of the sampler whose steps the plans take in its place; None where
    the sampler takes plain Euler steps itself. ``finer_steps`` is how many steps the run had
    that the plans aim at, more than ``steps``; None for the grid's own. ``switches`` are the steps
    at which the pipeline calls other denoisers than at the step before: every plan has a knot at
    each.
    """

    steps: Annotated[int, Field(ge=1, le=runtime.MAX_STEPS)]
    sigmas: (
        Annotated[
            tuple[Annotated[float, Field(ge=0, le=1)], ...],
            Field(fail_fast=True, max_length=runtime.MAX_STEPS + 1),
        ]
        | None
    )
    tolerance: Annotated[float, Field(ge=0, le=1)]
    replaces: Text | None = None
    finer_steps: Annotated[int, Field(ge=2, le=runtime.MAX_STEPS)] | None = None
    switches: Annotated[
        tuple[Annotated[int, Field(ge=1, lt=runtime.MAX_STEPS)], ...],
        Field(fail_fast=True, max_length=runtime.MAX_STEPS),
    ] = ()

    @property
    def displaced(self) -> bool:
        """Whether plans aim at the flow itself, not at the sums of Euler steps on the grid."""
        return self.replaces is not None or self.finer_steps is not None

    def replayable(self) -> runtime.Grid:
        """The same grid as the runtime reads it."""
        return runtime.Grid(**dict(self))

    @model_validator(mode="after")
    def _check_aim(self) -> Self:
        if self.finer_steps is not None and self.finer_steps <= self.steps:
            raise ValueError(
                f"finer_steps: {self.finer_steps} is out of range: "
                f"{self.steps + 1} to {runtime.MAX_STEPS}"
            )
        if any(a >= b for a, b in pairwise(self.switches)):
            raise ValueError("switches: must be strictly ascending")
        if self.switches and self.switches[-1] >= self.steps:
            raise ValueError(
                f"switches: {self.switches[-1]} is out of range: 1 to {self.steps - 1}"
            )
        return self

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.sigmas is None:
            return self
        if len(self.sigmas) != self.steps + 1:
            raise ValueError(
                f"sigmas: {len(self.sigmas)} values; {self.steps} steps need {self.steps + 1}"
            )
        try:
            parted(self.sigmas)
        except GridError as error:
            raise ValueError(str(error)) from error
        return self


class PlanEntry(Strict):
    """A plan as a schedule lists it: with its cost and what was measured of it, if known."""

    budget: Annotated[int, Field(ge=1, le=runtime.MAX_STEPS)]
    knots: Annotated[
        tuple[Step, ...], Field(fail_fast=True, min_length=1, max_length=runtime.MAX_STEPS)
    ]
    intervals: Annotated[tuple[Interval, ...], Field(fail_fast=True, max_length=runtime.MAX_STEPS)]
    cost: Annotated[float, Field(ge=0, le=runtime.MAX_COST)] | None = None
    innovation: (
        Annotated[
            tuple[Annotated[float, Field(ge=1e-9, le=1e9)], ...],
            Field(fail_fast=True, max_length=runtime.MAX_STEPS),
        ]
        | None
    ) = None
    measured: Measured | None = None
    also: Annotated[tuple[Also, ...], Field(fail_fast=True, max_length=strict_json.MAX_ITEMS)] = ()

    @model_validator(mode="after")
    def _check(self) -> Self:
        knots = self.knots
        if knots[0] != 0:
            raise ValueError(f"knots: the first knot must be 0, not {knots[0]}")
        if any(a >= b for a, b in pairwise(knots)):
            raise ValueError("knots: must be strictly ascending")
        if len(knots) > self.budget:
            raise ValueError(f"knots: {len(knots)} knots exceed the budget {self.budget}")
        if len(self.intervals) != len(knots):
            raise ValueError(f"intervals: {len(self.intervals)} intervals for {len(knots)} knots")
        for i, (start, interval) in enumerate(zip(knots, self.intervals, strict=True)):
            check_history(interval, f"intervals[{i}]", start, known=i + 1)
        if self.innovation is not None and len(self.innovation) != len(knots) - 1:
            raise ValueError(
                f"innovation: {len(self.innovation)} bounds; {len(knots)} knots need "
                f"{len(knots) - 1}"
            )
        return self

    @classmethod
    def of(cls, plan: runtime.Plan, cost: float | None = None) -> Self:
        """The entry of a plan, of which nothing is measured."""
        return cls(
            budget=plan.budget,
            knots=plan.knots,
            intervals=plan.intervals,
            cost=cost,
            innovation=plan.innovation,
        )

    @property
    def plan(self) -> runtime.Plan:
        """The plan alone."""
        return runtime.Plan(self.budget, self.knots, self.intervals, self.innovation)


class Schedule(Strict):
    """A model, a grid, and one plan per budget: what is shipped beside a model's weights."""

    format: Literal["meancache-schedule"] = runtime.FORMAT
    version: Literal[1] = runtime.VERSION
    model: ModelIdentity | None
    grid: Grid
    generation: Generation | None
    plans: Annotated[
        tuple[PlanEntry, ...],
        Field(fail_fast=True, min_length=1, max_length=runtime.MAX_PLANS),
    ]
    provenance: EitherProvenance | None

    @model_validator(mode="after")
    def _check(self) -> Self:
        budgets = [plan.budget for plan in self.plans]
        if any(a >= b for a, b in pairwise(budgets)):
            raise ValueError("plans: budgets must be strictly ascending")
        if self.generation is not None:
            check_calls(self.generation.calls, "generation", self.grid.steps)
        for i, plan in enumerate(self.plans):
            if plan.budget > self.grid.steps:
                raise ValueError(
                    f"plans[{i}].budget: {plan.budget} is out of range: 1 to {self.grid.steps}"
                )
            if plan.knots[-1] >= self.grid.steps:
                raise ValueError(
                    f"plans[{i}].knots: {plan.knots[-1]} is out of range: "
                    f"0 to {self.grid.steps - 1}"
                )
            for j, each in enumerate(plan.also):
                check_calls(each.calls, f"plans[{i}].also[{j}]", self.grid.steps)
            missing = sorted(set(self.grid.switches) - set(plan.knots))
            if missing:
                raise ValueError(
                    f"plans[{i}].knots: no knot at step {missing[0]}, where the pipeline "
                    "switches denoisers"
                )
        return self

    @property
    def budgets(self) -> tuple[int, ...]:
        """The budgets that there is a plan for, ascending."""
        return tuple(plan.budget for plan in self.plans)

    @property
    def calibrated(self) -> Provenance | None:
        """The provenance of plans that a profile was measured for; None of any others."""
        return self.provenance if isinstance(self.provenance, Provenance) else None

    @property
    def starting(self) -> StartProvenance | None:
        """The provenance of starting plans; None of any others."""
        return self.provenance if isinstance(self.provenance, StartProvenance) else None

    def replayable(self) -> runtime.Schedule:
        """The same schedule as the runtime reads it."""
        model = None if self.model is None else self.model.replayable()
        made = None if self.generation is None else self.generation.replayable()
        plans = tuple(entry.plan for entry in self.plans)
        also = {p.budget: tuple(each.replayable() for each in p.also) for p in self.plans}
        source = None if self.starting is None else self.starting.start.source
        return runtime.Schedule(model, self.grid.replayable(), plans, made, also, source)


def to_bytes(schedule: Schedule) -> bytes:
    """Canonical bytes: UTF-8 JSON, keys sorted, no white space, one newline at the end."""
    text = json.dumps(
        schedule.model_dump(mode="json"),
        sort_keys=True,
        ensure_ascii=False,
        allow_nan=False,
        separators=(",", ":"),
    )
    return text.encode() + b"\n"


def from_bytes(data: bytes) -> Schedule:
    """Validate a schedule file's bytes.

    Raises:
        ScheduleError: The bytes are not a valid schedule; the message names place and reason.
    """
    # Refuses what pydantic lets pass: duplicate keys, lone surrogates, version true, …
    runtime.check_header(strict_json.decode(data))
    try:
        schedule = Schedule.model_validate_json(data)
    except ValidationError as error:
        raise ScheduleError(first_reason(error, "schedule")) from error
    parts: list[tuple[str, Strict]] = [("schedule", schedule), ("grid", schedule.grid)]
    parts += [(f"plans[{i}]", plan) for i, plan in enumerate(schedule.plans)]
    parts += [] if schedule.generation is None else [("generation", schedule.generation)]
    for where, part in parts:  # defaults are for those who build a schedule, not for files
        for key in type(part).model_fields.keys() - part.model_fields_set:
            raise ScheduleError(f'{where}: "{key}" is missing')
    return schedule


def save_schedule(schedule: Schedule, path: str | PathLike[str]) -> None:
    """Write canonical bytes to ``path`` at once: never a half-written file.

    Raises:
        InputError: The path cannot be written, or ``schedule`` is something else.
    """
    check_kind("schedule", schedule, Schedule, "solve makes one")
    write_atomically(Path(path), to_bytes(schedule))


def load_schedule(path: str | PathLike[str]) -> Schedule:
    """Read a schedule, given its file or the folder of the model that it lies in.

    Raises:
        ScheduleError: The file cannot be read or is not valid; names path, place and reason.
    """
    file = locate(path)
    data = strict_json.read_file(file)
    try:
        return from_bytes(data)
    except ScheduleError as error:
        raise ScheduleError(f"{file}: {error}") from error
