"""Published plans: fresh steps and spans, as MeanCache's authors list them, made into schedules.

A list says, for each budget, at which steps the denoiser runs (``fresh_steps``) and over how many
steps the released scripts look back in each interval (``edge_span``, K). Weights depend on σ, so a
schedule made from it states no grid: it is bound to the run's own when it is attached. The list may
say which ``sigmas`` give the grid that it was made on.
"""

import re
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, TypeAdapter, ValidationError, field_validator, model_validator

from meancache_plan.core.grid import parted
from meancache_plan.errors import GridError, InputError
from meancache_plan.files.atomic import check_writable, write_together
from meancache_plan.files.validation import Step, Strict, Text, first_reason
from meancache_plan.schedule.artifact import Grid, ModelIdentity, PlanEntry, Schedule, to_bytes
from meancache_plan.schedule.mask_import import read_mask
from meancache_runtime import strict_json
from meancache_runtime.errors import ScheduleError
from meancache_runtime.predictors import Hold, Released
from meancache_runtime.schedule import MAX_STEPS

Span = Annotated[int, Field(ge=0, le=MAX_STEPS)]


class Entry(Strict):
    """One budget: the steps at which the denoiser runs, and K of the interval after each.

    K = 0 stands for an interval without cached steps, where any other K is ignored as well. The
    last interval, from the last fresh step to the end, may be left out if it is one step long.
    """

    fresh_steps: Annotated[tuple[Step, ...], Field(min_length=1, max_length=MAX_STEPS)]
    edge_span: Annotated[tuple[Span, ...], Field(max_length=MAX_STEPS)]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.fresh_steps[0] != 0:
            raise ValueError(
                f"fresh_steps: starts at {self.fresh_steps[0]}; it must start at 0, as nothing is "
                "known before the first step"
            )
        for before, after in pairwise(self.fresh_steps):
            if before >= after:
                raise ValueError(
                    f"fresh_steps: {after} comes after {before}: list the steps in ascending "
                    "order, each once"
                )
        return self

    def spans(self, steps: int) -> tuple[tuple[int, int, int], ...]:
        """(first step, step after its last, K) of each interval of a run of ``steps`` steps.

        Raises:
            ValueError: A step is not one of the run's, or a K is missing or impossible.
        """
        last = self.fresh_steps[-1]
        if last >= steps:
            raise ValueError(
                f"fresh_steps: {last} is not among the steps 0 to {steps - 1}: take it out, or "
                'correct "steps"'
            )
        spans = self.edge_span
        if len(spans) == len(self.fresh_steps) - 1 and last == steps - 1:
            spans = (*spans, 0)
        if len(spans) != len(self.fresh_steps):
            raise ValueError(
                f"edge_span: {len(spans)} entries for {len(self.fresh_steps)} fresh steps: give "
                f"one for the interval after each, from {last} to the end included (it may be "
                "left out only where that is a single step)"
            )
        edges = pairwise((*self.fresh_steps, steps))
        return tuple((*edge, span) for edge, span in zip(edges, spans, strict=True))


class PublishedPlans(Strict):
    """One model's entries by budget, for runs of ``steps`` steps.

    ``pipeline``, ``denoiser`` and ``scheduler`` name the classes that the model is used with, where
    known. ``sigmas`` is what a call of that pipeline is given to have the noise levels on which the
    plans were made, where they are others than its own.
    """

    steps: Annotated[int, Field(ge=1, le=MAX_STEPS)]
    budgets: Annotated[dict[Text, Entry], Field(min_length=1)]
    pipeline: Text | None = None
    denoiser: Text | None = None
    scheduler: Text | None = None
    sigmas: Annotated[tuple[float, ...], Field(max_length=MAX_STEPS)] | None = None

    @model_validator(mode="after")
    def _check_sigmas(self) -> Self:
        if self.sigmas is None:
            return self
        if len(self.sigmas) != self.steps:
            raise ValueError(
                f"sigmas: {len(self.sigmas)} values: give one for each of {self.steps}"
            )
        try:
            parted((*self.sigmas, 0.0))
        except GridError as error:
            raise ValueError(f"sigmas, and 0 after them: {error}") from error
        return self

    @model_validator(mode="after")
    def _check(self) -> Self:
        for budget, entry in self.budgets.items():
            fresh = str(len(entry.fresh_steps))
            where = f"budgets.{strict_json.shorten(budget)}"
            if budget != fresh:
                raise ValueError(
                    f"{where}: has {fresh} fresh steps: correct them, or name it {fresh}"
                )
            try:
                for i, edge in enumerate(entry.spans(self.steps)):
                    _check_span(f"edge_span[{i}]", *edge)
            except ValueError as error:
                raise ValueError(f"{where}.{error}") from error
        return self


def _check_span(where: str, start: int, end: int, span: int) -> None:
    """Refuse a K that the cached steps of an interval cannot be answered with."""
    cached = start + 1
    if cached == end:
        return
    if span == 0:
        raise ValueError(
            f"{where}: 0, but steps {cached} to {end - 1} are cached: give the number of steps to "
            "look back, 1 to repeat the last velocity"
        )
    if span > cached:
        raise ValueError(
            f"{where}: {span} reaches before step 0 from the cached step {cached}: give at most "
            f"{cached}"
        )


class Collection(Strict):
    """By model: hub id → its plans."""

    source: Text | None = None
    semantics: Text | None = None
    models: Annotated[dict[Text, PublishedPlans], Field(min_length=1)]

    @field_validator("semantics")
    @classmethod
    def _know(cls, semantics: str | None) -> str | None:
        if semantics is not None and not semantics.startswith("release"):
            raise ValueError(
                f"{strict_json.quote(semantics)} is unknown: only plans with the meaning that "
                'they have in MeanCache\'s released scripts can be read ("released")'
            )
        return semantics


def load_plans(file: Path, model: str | None = None) -> dict[str, PublishedPlans]:
    """Read plans from JSON: a :class:`Collection`, or one model's :class:`PublishedPlans`.

    Args:
        file: The JSON file.
        model: Which model's plans; all by default. Plans of a model without a name need it.

    Returns:
        Model → plans; only ``model``'s if it is given.

    Raises:
        InputError: The file cannot be read, is not valid, or has no plans for ``model``.
    """
    plans = _read(file)
    if isinstance(plans, PublishedPlans):
        if model is None:
            raise InputError(
                f"{file}: holds the plans of one model without a name: give it with --model"
            )
        return {model: plans}
    if model is None:
        return plans.models
    if model not in plans.models:
        known = ", ".join(map(strict_json.shorten, plans.models))
        raise InputError(f"{file}: has no plans for {model}: it has {known}")
    return {model: plans.models[model]}


def _read(file: Path) -> Collection | PublishedPlans:
    try:
        with file.open("rb") as stream:
            data = stream.read(strict_json.MAX_BYTES + 1)
        value = strict_json.decode(data)
        if isinstance(value, dict) and "models" in value:
            return Collection.model_validate_json(data)
        return PublishedPlans.model_validate_json(data)
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror}); give a JSON file") from error
    except ScheduleError as error:
        raise InputError(f"{file}: {error}") from error
    except ValidationError as error:
        raise InputError(f"{file}: {first_reason(error, 'plans')}") from error


def to_schedule(model: str, published: PublishedPlans) -> Schedule:
    """The schedule of a model's published plans, for any Euler grid of their steps."""
    identity = ModelIdentity(
        id=model,
        revision=None,
        fingerprint=None if published.denoiser is None else f"class:{published.denoiser}",
        pipeline=published.pipeline,
        scheduler=published.scheduler,
        adapters=(),
    )
    return Schedule(
        model=identity,
        grid=Grid(steps=published.steps, sigmas=None, tolerance=0.0),
        generation=None,
        plans=tuple(
            _plan(published.budgets[str(budget)], published.steps)
            for budget in sorted(map(int, published.budgets))
        ),
        provenance=None,
    )


def _plan(entry: Entry, steps: int) -> PlanEntry:
    return PlanEntry(
        budget=len(entry.fresh_steps),
        knots=entry.fresh_steps,
        intervals=tuple(
            Hold() if end - start == 1 else Released(span)
            for start, end, span in entry.spans(steps)
        ),
    )


def load_published(file: Path, model: str | None = None) -> dict[str, Schedule]:
    """Read plans as :func:`load_plans` does, or one step mask, and make schedules of them.

    Raises:
        InputError: As :func:`load_plans`; a mask needs ``model``, as its name; or ``model`` is
            empty or too long to be one.
    """
    if model is not None:
        _check_name(model)
    mask = read_mask(file)
    if mask is None:
        plans = load_plans(file, model)
        return {name: to_schedule(name, published) for name, published in plans.items()}
    if model is None:
        raise InputError(f"{file}: holds the steps of one model without a name: give --model")
    try:
        return {model: mask.schedule(model)}
    except InputError as error:
        raise InputError(f"{file}: {error}: correct the file") from error


def _check_name(model: str) -> None:
    """Refuse what no model can be called in a schedule. Raises InputError."""
    try:
        TypeAdapter(Text).validate_python(model)
    except ValidationError as error:
        reason = first_reason(error, f"--model {strict_json.quote(model)}")
        raise InputError(f"{reason}: give the model's hub id") from error


def save_published(schedules: Mapping[str, Schedule], folder: Path) -> tuple[Path, ...]:
    """Write ``folder/<model>/<steps>-steps.json`` for each model; the folders are made.

    Raises:
        InputError: Two models have one file name, a name makes none, or a place cannot be
            written; then no schedule is.
    """
    files: dict[Path, str] = {}
    for model, schedule in schedules.items():
        file = folder / _slug(model) / f"{schedule.grid.steps}-steps.json"
        if file in files:
            raise InputError(
                f"{file}: both {files[file]} and {model} would be written there: give --model "
                "and a file for each"
            )
        files[file] = model
    for file in files:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{file.parent}: cannot be made ({error.strerror})") from error
        check_writable(file)
    write_together({file: to_bytes(schedules[model]) for file, model in files.items()})
    return tuple(files)


def _slug(model: str) -> str:
    """The last part of a hub id as a file name: ``Qwen/Qwen-Image`` → ``qwen-image``."""
    name = re.sub(r"[^a-z0-9._-]+", "-", model.rsplit("/", 1)[-1].lower()).strip(".-")
    if not name:
        raise InputError(f"{model}: cannot be made into a folder's name: give --model and a file")
    return name
