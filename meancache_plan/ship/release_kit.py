"""A release kit: what is put beside a model's weights, so that its users have schedules."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from meancache_plan.errors import InputError
from meancache_plan.files.atomic import write_together
from meancache_plan.files.journal import drop, within
from meancache_plan.improve.refine_with_pipeline import Watch, refine_with
from meancache_plan.judge import evaluate as judge
from meancache_plan.judge.findings import Evaluation
from meancache_plan.judge.sample_folder import SampleFolder, Samples
from meancache_plan.measure.profile import Profile
from meancache_plan.plan import solve as compiler
from meancache_plan.plan.reliability import with_reliability
from meancache_plan.plan.wishes import Wish, fulfil
from meancache_plan.schedule import artifact
from meancache_plan.schedule.artifact import ModelIdentity, Schedule
from meancache_plan.schedule.pruning import only
from meancache_plan.ship.model_card import model_card
from meancache_plan.show.page import report_page
from meancache_plan.source.diffusers.pipeline import Pipeline
from meancache_plan.source.recipe import find_recipe, parse_numbers, read_prompts
from meancache_runtime.errors import ScheduleError
from meancache_runtime.snapshot import FILE_NAME
from meancache_runtime.strict_json import shorten

CARD, REPORT = "MEANCACHE.md", "meancache_report.html"
"""Files of a kit, beside ``meancache_schedule.json``."""

LICENCE, SOURCES_LICENCE = "the model's own licence", "as its source states"
"""Of a schedule: compiled from the model, or made elsewhere."""

SAMPLES = "samples"
"""Folder of sample pictures among the unfinished work."""


@dataclass(frozen=True, slots=True)
class Kit:
    """What is written: a schedule, what is known of it, and how it was made.

    Attributes:
        schedule: With the figures of ``evaluation`` noted in it, if there is one.
        profile: What it was solved from.
        evaluation: On held-out prompts.
        samples: The evaluation's pictures.
    """

    schedule: Schedule
    profile: Profile | None = None
    evaluation: Evaluation | None = None
    samples: Samples | None = None


class Place:
    """The folder of a kit, and the one in it for work that is not finished.

    Raises:
        InputError: The place cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(os.path.abspath(folder))
        parent = self.folder.parent
        self.work = within(self.folder)
        if not self.folder.name or (self.folder.exists() and not self.folder.is_dir()):
            raise InputError(f"{folder}: is not a folder: name a new one, or the model's own")
        if not parent.is_dir():
            raise InputError(f"{folder}: the directory {parent} does not exist: make it first")
        if not os.access(self.folder if self.folder.is_dir() else parent, os.W_OK):
            raise InputError(f"{folder}: cannot be written")

    def check(self, model: ModelIdentity | None, *, measured: bool) -> None:
        """Refuse to replace a schedule for another model id, or a measured one by one that is not.

        Args:
            model: What the new schedule is for.
            measured: Whether it notes, or will note, what was measured.

        Raises:
            InputError: The folder's schedule is such a one, or cannot be read.
        """
        file = self.folder / FILE_NAME
        if not file.exists():
            return
        try:
            found = artifact.load_schedule(file)
        except ScheduleError as error:
            raise InputError(f"{error}; move it away, or give another folder") from error
        there, here = (None if each is None else each.id for each in (found.model, model))
        if there != here:
            raise InputError(
                f"{file}: is a schedule for {shorten(there or 'any model')}, not for "
                f"{shorten(here or 'any model')}: give another folder, or move it away"
            )
        if not measured and is_measured(found):
            raise InputError(
                f"{file}: has measured quality, which this kit lacks: measure it with --model, "
                "give another folder, or delete that file"
            )

    def write(self, kit: Kit, licence: str, commands: Sequence[str]) -> tuple[Path, ...]:
        """Write the files together, drop the work that led there, and return the paths.

        Raises:
            InputError: A file cannot be written: then all are as they were, and the work is kept.
        """
        files = {
            self.folder / REPORT: _report(kit),
            self.folder / CARD: _card(kit, licence, commands).encode(),
            self.folder / FILE_NAME: artifact.to_bytes(kit.schedule),
        }
        write_together(files)
        if kit.evaluation is not None:  # else the work is of another kit, which is not finished
            drop(self.work)
        return tuple(files)


def _report(kit: Kit) -> bytes:
    return report_page(
        kit.schedule,
        profile=kit.profile,
        evaluation=kit.evaluation,
        samples=kit.samples,
        name=FILE_NAME,
    )


def _card(kit: Kit, licence: str, commands: Sequence[str]) -> str:
    return model_card(
        kit.schedule,
        evaluation=kit.evaluation,
        profile=kit.profile,
        licence=licence,
        commands=commands,
    )


def is_measured(schedule: Schedule) -> bool:
    """Whether it notes the measured quality of any plan."""
    return any(plan.measured for plan in schedule.plans)


def wished(profile: Profile, budget: str | None, recipe: str | None, *, measured: bool) -> Wish:
    """Which budgets a kit has: those asked for; the recipe's, if all are measured; or all.

    Args:
        profile: What they are solved from.
        budget: What was asked for.
        recipe: A recipe's name or file; the model's own by default.
        measured: Whether each budget costs a measurement.

    Raises:
        InputError: The recipe is not valid.
    """
    if budget is not None:
        return Wish(budget=budget)
    found = find_recipe(profile.settings.model.id if profile.settings.model else "", recipe)
    if measured and found.budgets is not None and found.steps == profile.settings.run_steps:
        return Wish(budget=found.budgets)
    return Wish(all=True)


def compiled(profile: Profile, wish: Wish) -> Kit:
    """Solve the budgets of a kit.

    Raises:
        InputError: A budget is out of range.
    """
    answer = fulfil(wish, profile, partial(compiler.solve, profile))
    return Kit(with_reliability(profile, answer.schedule), profile)


def refined(
    kit: Kit, pipeline: Pipeline, work: Path, *, limit: int | None, batch: int, watch: Watch
) -> Kit:
    """Refine the plans of a kit that was solved.

    Args:
        kit: With the profile that it was solved from.
        pipeline: The model, with its recipe.
        work: A folder for finished work: the same call goes on from there.
        limit: Use so many of the calibration prompts; all by default.
        batch: Samples a pipeline call.
        watch: Asked for a listener for each piece of work.

    Raises:
        InputError: See :func:`meancache_plan.improve.refine_with_pipeline.refine_with`.
        BeatenError: No plan beats fewer steps when it is replayed.
    """
    assert kit.profile is not None
    path = work / FILE_NAME
    plans = refine_with(
        pipeline, kit.profile, kit.schedule, path, limit=limit, batch=batch, watch=watch
    )
    return replace(kit, schedule=plans)


def chosen(schedule: Schedule, budget: str | None, profile: Profile | None) -> Kit:
    """The kit of a schedule that exists: of all its budgets, or of some.

    Raises:
        BudgetError: The schedule has no plan for a budget.
    """
    if budget is None:
        return Kit(schedule, profile)
    wanted = parse_numbers(budget, "--budget")
    for each in wanted:
        schedule.replayable().plan(each)
    return Kit(only(schedule, set(wanted)), profile)


def judged(
    kit: Kit,
    pipeline: Pipeline,
    work: Path,
    *,
    limit: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Kit:
    """Measure a kit's plans on the recipe's held-out prompts, and note it in the schedule.

    Args:
        kit: What was solved.
        pipeline: The model, with its recipe.
        work: A folder for finished samples and pictures: the same call goes on from there.
        limit: Use the first so many prompts; all by default.
        progress: Told after every sample.

    Raises:
        InputError: ``work`` belongs to another evaluation, or a sample is not finite.
        MeanCacheError: The pipeline does not fit the schedule.
    """
    folder = SampleFolder(work / SAMPLES)
    evaluation = judge.evaluate(
        pipeline,
        kit.schedule,
        read_prompts(pipeline.recipe.heldout_prompts)[:limit],
        parse_numbers(pipeline.recipe.heldout_seeds, "heldout_seeds"),
        witness=folder,
        work=folder.work,
        progress=progress,
    )
    noted = judge.with_measured(kit.schedule, evaluation)
    return Kit(noted, kit.profile, evaluation, folder.finish(evaluation))


def licence_of(schedule: Schedule) -> str:
    """The licence of a schedule for which none is given, in words."""
    return SOURCES_LICENCE if schedule.provenance is None else LICENCE
