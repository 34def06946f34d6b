"""The schedule artifact: plain data, and a strict reader (standard library only).

The format is specified in ``schedules/README.md``. Reading a file never executes, imports or
downloads anything; whatever the specification does not allow is refused with its own message.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import pairwise
from numbers import Integral
from typing import Any, Protocol

from .annotations import MAX_CALLS as MAX_CALLS
from .annotations import MAX_ELEMENTS as MAX_ELEMENTS
from .annotations import Also as Also
from .annotations import Generation as Generation
from .annotations import check_measured, read_also, read_generation, read_provenance
from .errors import BudgetError, ScheduleError
from .grid import MAX_STEPS as MAX_STEPS
from .grid import Grid as Grid
from .grid import check_switches, read_grid
from .predictors import Predictor, read_predictor, written
from .snapshot import locate
from .strict_json import (
    MAX_ITEMS,
    decode,
    optional,
    quote,
    read_file,
    read_integer,
    read_list,
    read_number,
    read_object,
    read_text,
    shorten,
)

FORMAT = "meancache-schedule"
VERSION = 1
MAX_PLANS = 1000
MAX_COST = 1e300


@dataclass(frozen=True, slots=True)
class Plan:
    """Knots (steps at which the denoiser runs) and one predictor per interval.

    ``innovation``: for each knot after the first the largest innovation that a sample like those of
    calibration has (see :mod:`meancache_runtime.innovation`); None if that is not known.
    """

    budget: int
    knots: tuple[int, ...]
    intervals: tuple[Predictor, ...]
    innovation: tuple[float, ...] | None = None

    def before(self, step: int) -> "Plan":
        """The plan without its knots from ``step`` > 0 on."""
        knots = tuple(knot for knot in self.knots if knot < step)
        bounds = None if self.innovation is None else self.innovation[: len(knots) - 1]
        return Plan(self.budget, knots, self.intervals[: len(knots)], bounds)


@dataclass(frozen=True, slots=True)
class Adapter:
    """An adapter (LoRA) in effect. ``digest``: of its weights and scale; None if not known."""

    name: str
    digest: str | None


@dataclass(frozen=True, slots=True)
class Model:
    """The model that a schedule was compiled for."""

    id: str
    revision: str | None
    fingerprint: str | None
    pipeline: str | None
    scheduler: str | None
    adapters: tuple[Adapter, ...]


@dataclass(frozen=True, slots=True)
class Schedule:
    """A model, a grid, and one plan per budget. ``model`` None fits any model.

    ``generation`` takes no part in replay, and neither does ``also``, for each budget the other
    requests at which its plan was measured: hosts compare them with what is asked for. ``start``
    is from where starting plans were carried over to a model that nobody calibrated, else None.
    """

    model: Model | None
    grid: Grid
    plans: tuple[Plan, ...]
    generation: Generation | None = field(default=None, hash=False)
    also: Mapping[int, tuple[Also, ...]] = field(default_factory=dict, hash=False)
    start: str | None = field(default=None, hash=False)

    @property
    def budgets(self) -> tuple[int, ...]:
        """The budgets that there is a plan for, ascending."""
        return tuple(plan.budget for plan in self.plans)

    def plan(self, budget: int) -> Plan:
        """Return the plan for exactly this budget.

        Raises:
            BudgetError: There is no plan for it, or it is not an integer; the message lists the
                budgets that there are.
        """
        known = ", ".join(map(str, self.budgets))
        if isinstance(budget, bool) or not isinstance(budget, Integral):
            raise BudgetError(
                f"the budget is {shorten(repr(budget))} ({type(budget).__name__}): give an "
                f"integer; the schedule has plans for {known}"
            )
        for plan in self.plans:
            if plan.budget == budget:
                return plan
        raise BudgetError(
            f"the schedule has no plan for budget {budget}; it has {known}. "
            f"Choose one of these, or solve again with --budget {budget}"
        )


class Replayable(Protocol):
    """A schedule of another kind, such as the compiler's own, that gives this kind."""

    def replayable(self) -> Schedule:
        """The same schedule as the runtime reads it."""
        ...


def as_schedule(schedule: Schedule | Replayable) -> Schedule:
    """Return the runtime's schedule. Raises ScheduleError for what is not a schedule."""
    if isinstance(schedule, Schedule):
        return schedule
    if not hasattr(schedule, "replayable"):
        raise ScheduleError(
            f"{type(schedule).__name__} is not a schedule: give what load_schedule(path) returns"
        )
    return schedule.replayable()


def load_schedule(source: str | os.PathLike[str], *, revision: str | None = None) -> Schedule:
    """Read and validate a schedule.

    Args:
        source: A schedule's file, a folder that holds ``meancache_schedule.json``, or a hub id
            (``owner/name``), if ``huggingface_hub`` is installed; its local cache comes first.
        revision: Branch, tag or commit of a hub id.

    Raises:
        ScheduleError: The file is not a valid schedule, or (ScheduleNotFoundError) not there.
    """
    path = locate(source, revision)
    data = read_file(path)
    try:
        return parse_schedule(data)
    except ScheduleError as error:
        raise ScheduleError(f"{path}: {error}") from error


def parse_schedule(data: bytes) -> Schedule:
    """Validate the bytes of a schedule file. Raises ScheduleError; see :func:`load_schedule`."""
    return _schedule(check_header(decode(data)))


def to_document(schedule: Schedule, budget: int) -> dict[str, Any]:
    """A schedule file's content, as JSON values, with the plan for one budget and no notes.

    Raises:
        BudgetError: The schedule has no plan for this budget.
    """
    plan, grid = schedule.plan(budget), asdict(schedule.grid)
    entry = {
        "budget": plan.budget,
        "knots": list(plan.knots),
        "intervals": [written(predictor) for predictor in plan.intervals],
        "cost": None,
        "innovation": plan.innovation,
        "measured": None,
        "also": [asdict(each) for each in schedule.also.get(plan.budget, ())],
    }
    made = schedule.generation
    document = {
        "format": FORMAT,
        "version": VERSION,
        "model": None if schedule.model is None else asdict(schedule.model),
        "grid": grid,
        "generation": None if made is None else asdict(made),
        "plans": [entry],
        "provenance": schedule.start and {"start": {"source": schedule.start}},
    }
    return json.loads(json.dumps(document))


def check_header(value: Any) -> dict[str, Any]:
    """Refuse what is not a schedule, or one of another version of the format.

    Raises:
        ScheduleError: ``format`` or ``version`` is not the one that this reader knows.
    """
    if not isinstance(value, dict):
        raise ScheduleError("not a schedule: must be an object")
    if value.get("format") != FORMAT:
        raise ScheduleError(
            f'not a schedule: format {quote(value.get("format"))} must be "{FORMAT}"'
        )
    version = value.get("version")
    if type(version) is not int or version != VERSION:
        raise ScheduleError(
            f"version {quote(version)} is unknown: this reader knows version {VERSION}; "
            "upgrade meancache-runtime or compile the schedule again"
        )
    return value


def _schedule(value: Any) -> Schedule:
    keys = ("format", "version", "model", "grid", "generation", "plans", "provenance")
    top = read_object(value, "schedule", keys)
    grid = read_grid(top["grid"])
    generation = optional(
        top["generation"], "generation", lambda v, w: read_generation(v, w, grid.steps)
    )
    start = read_provenance(top["provenance"])
    entries = read_list(top["plans"], "plans", MAX_PLANS, least=1)
    plans = tuple(_plan(p, f"plans[{i}]", grid.steps) for i, p in enumerate(entries))
    budgets = [plan.budget for plan in plans]
    if any(a >= b for a, b in pairwise(budgets)):
        raise ScheduleError("plans: budgets must be strictly ascending")
    for i, plan in enumerate(plans):
        check_switches(f"plans[{i}].knots", plan.knots, grid.switches)
    also = {
        plan.budget: read_also(entry["also"], f"plans[{i}].also", grid.steps)
        for i, (plan, entry) in enumerate(zip(plans, entries, strict=True))
    }
    return Schedule(optional(top["model"], "model", _model), grid, plans, generation, also, start)


def _model(value: Any, where: str) -> Model:
    keys = ("id", "revision", "fingerprint", "pipeline", "scheduler", "adapters")
    got = read_object(value, where, keys)
    adapters = read_list(got["adapters"], f"{where}.adapters", MAX_ITEMS)
    return Model(
        id=read_text(got["id"], f"{where}.id"),
        revision=optional(got["revision"], f"{where}.revision", read_text),
        fingerprint=optional(got["fingerprint"], f"{where}.fingerprint", read_text),
        pipeline=optional(got["pipeline"], f"{where}.pipeline", read_text),
        scheduler=optional(got["scheduler"], f"{where}.scheduler", read_text),
        adapters=tuple(_adapter(a, f"{where}.adapters[{i}]") for i, a in enumerate(adapters)),
    )


def _adapter(value: Any, where: str) -> Adapter:
    got = read_object(value, where, ("name", "digest"))
    digest = optional(got["digest"], f"{where}.digest", read_text)
    return Adapter(read_text(got["name"], f"{where}.name"), digest)


def _plan(value: Any, where: str, steps: int) -> Plan:
    keys = ("budget", "knots", "intervals", "cost", "innovation", "measured", "also")
    got = read_object(value, where, keys)
    budget = read_integer(got["budget"], f"{where}.budget", 1, steps)
    optional(got["cost"], f"{where}.cost", lambda v, w: read_number(v, w, 0.0, MAX_COST))
    optional(got["measured"], f"{where}.measured", check_measured)
    entries = read_list(got["knots"], f"{where}.knots", MAX_STEPS, least=1)
    knots = tuple(
        read_integer(k, f"{where}.knots[{i}]", 0, steps - 1) for i, k in enumerate(entries)
    )
    if knots[0] != 0:
        raise ScheduleError(f"{where}.knots: the first knot must be 0, not {knots[0]}")
    if any(a >= b for a, b in pairwise(knots)):
        raise ScheduleError(f"{where}.knots: must be strictly ascending")
    if len(knots) > budget:
        raise ScheduleError(f"{where}.knots: {len(knots)} knots exceed the budget {budget}")
    intervals = read_list(got["intervals"], f"{where}.intervals", MAX_STEPS)
    if len(intervals) != len(knots):
        raise ScheduleError(f"{where}.intervals: {len(intervals)} intervals for {len(knots)} knots")
    predictors = tuple(
        read_predictor(p, f"{where}.intervals[{i}]", i + 1, knots[i])
        for i, p in enumerate(intervals)
    )
    bounds = optional(got["innovation"], f"{where}.innovation", partial(_bounds, knots=knots))
    return Plan(budget, knots, predictors, bounds)


def _bounds(value: Any, where: str, knots: tuple[int, ...]) -> tuple[float, ...]:
    entries = read_list(value, where, MAX_STEPS)
    if len(entries) != len(knots) - 1:
        raise ScheduleError(
            f"{where}: {len(entries)} bounds; {len(knots)} knots need {len(knots) - 1}"
        )
    return tuple(read_number(b, f"{where}[{i}]", 1e-9, 1e9) for i, b in enumerate(entries))
