"""Write the report of a schedule, from whatever is known of it."""

from pathlib import Path
from typing import Any

from meancache_plan.errors import InputError
from meancache_plan.files.atomic import check_writable, write_atomically
from meancache_plan.judge.findings import Evaluation
from meancache_plan.judge.sample_folder import Samples
from meancache_plan.measure.profile import Profile
from meancache_plan.schedule.artifact import Schedule
from meancache_plan.show.lines_to_copy import remedies, usage_data
from meancache_plan.show.page.document import render
from meancache_plan.show.page.figure_data import figure_data
from meancache_plan.show.page.heat_map import heat_data
from meancache_plan.show.page.picture_data import picture_data
from meancache_plan.show.page.plan_data import plan_data
from meancache_plan.show.page.provenance_data import generation_words, provenance_data
from meancache_plan.show.page.report_checks import check_evaluation, check_profile, check_samples
from meancache_plan.show.payoff import cliff, cliff_note, few_steps_note

LIMIT = 5_000_000
"""Bytes that a report with pictures stays under; they are made coarser, or left out."""


def report_page(
    schedule: Schedule,
    *,
    profile: Profile | None = None,
    evaluation: Evaluation | None = None,
    samples: Samples | None = None,
    name: str = "schedule.json",
) -> bytes:
    """One HTML file that needs no other file and no network.

    What is not given is named in the page, with the command that would add it.

    Args:
        schedule: Whose plans to show.
        profile: Adds the heat map of deviations.
        evaluation: Adds figures beside those of the alternatives.
        samples: Adds pictures; they are made coarser until the file is smaller than ``LIMIT``, and
            the page says so.
        name: The schedule file's name, for the lines that a reader copies.

    Raises:
        InputError: One of these does not belong to the schedule, or a picture cannot be read.
    """
    return render(report_data(schedule, profile, evaluation, samples, name)).encode()


def write_report(
    schedule: Schedule,
    path: Path,
    *,
    profile: Profile | None = None,
    evaluation: Evaluation | None = None,
    samples: Samples | None = None,
    name: str = "schedule.json",
) -> int:
    """Write :func:`report_page` to an HTML file; returns its size in bytes.

    Raises:
        InputError: As :func:`report_page`, or ``path`` cannot be written.
    """
    check_output(path)
    page = report_page(schedule, profile=profile, evaluation=evaluation, samples=samples, name=name)
    write_atomically(path, page)
    return len(page)


def check_output(path: Path) -> Path:
    """Return ``path`` if a report can be written there. Raises InputError."""
    if path.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"{path}: a report is a web page: give a name that ends in .html")
    check_writable(path)
    return path


def report_data(
    schedule: Schedule,
    profile: Profile | None,
    evaluation: Evaluation | None,
    samples: Samples | None,
    name: str,
) -> dict[str, Any]:
    """Everything that the page shows, as JSON values."""
    caution = None if profile is None else check_profile(schedule, profile)
    if evaluation is not None:
        check_evaluation(schedule, evaluation)
    if samples is not None:
        check_samples(schedule, samples, evaluation)
    model = schedule.model
    data: dict[str, Any] = {
        "title": "Any model" if model is None else model.id,
        "pipeline": None if model is None else model.pipeline,
        "made": generation_words(schedule.generation),
        "steps": schedule.grid.steps,
        "sigmas": schedule.grid.sigmas,
        "plans": plan_data(schedule, evaluation),
        "cliff": cliff(schedule),
        "warnings": [note for note in (few_steps_note(schedule), cliff_note(schedule)) if note],
        "heat": None if profile is None else heat_data(profile),
        "profiled": profile is not None,
        "caution": caution,
        "figures": figure_data(schedule, evaluation),
        "judged": evaluation is not None,
        "pictures": None,
        "pictured": samples is not None,
        "facts": provenance_data(schedule, evaluation),
        "usage": usage_data(schedule, name),
        "remedies": remedies(schedule, name),
    }
    if samples is not None:
        spent = len(render(data).encode())
        data["pictures"] = picture_data(samples, LIMIT - spent)
    return data
