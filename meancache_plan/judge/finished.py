"""Finished samples of an evaluation that may be interrupted: none is made twice."""

import hashlib
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from meancache_plan.files import journal
from meancache_plan.judge.contenders import Contender
from meancache_plan.judge.figures import Figures
from meancache_plan.judge.witness import Shots
from meancache_plan.schedule.artifact import Schedule, to_bytes
from meancache_plan.source.diffusers.pipeline import Pipeline
from meancache_plan.source.recipe import digest
from meancache_plan.version import __version__

STAGE = "sample"


def forget(folder: Path) -> None:
    """Drop the finished samples of an evaluation: its result is written. Other files stay."""
    journal.forget(folder, Shots.FILES)


@contextmanager
def tidied(folder: Path) -> Generator[None]:
    """Leave no folder behind in which no sample was finished, however the work ends."""
    try:
        yield
    finally:
        if not (folder / journal.RESULTS).exists():
            forget(folder)


class Finished:
    """Figures by prompt, seed and contender.

    Args:
        folder: Where they are kept; without one nothing is.
        settings: Everything that a sample depends on; see :func:`settings`.

    Raises:
        InputError: The folder cannot be used, or belongs to another evaluation.
    """

    def __init__(self, folder: Path | None, settings: dict[str, Any]) -> None:
        self._journal: journal.Journal | None = None
        if folder is not None:
            remedy = "have evaluate write elsewhere (--json FILE, --samples FOLDER)"
            self._journal = journal.Journal(folder, settings, "evaluation", remedy)

    def find(self, prompt: str, seed: int, contender: Contender) -> Figures | None:
        """The figures of this sample, if they are known."""
        if self._journal is None:
            return None
        entry = self._journal.find(STAGE, _inputs(prompt, seed, contender))
        try:
            return None if entry is None else Figures.model_validate(entry)
        except ValidationError:  # somebody edited the file
            return None

    def keep(self, prompt: str, seed: int, contender: Contender, figures: Figures) -> None:
        """Note the figures of a finished sample."""
        if self._journal is not None:
            inputs = _inputs(prompt, seed, contender)
            self._journal.keep(STAGE, inputs, figures.model_dump(mode="json"))


def settings(
    pipeline: Pipeline,
    schedule: Schedule,
    prompts: Sequence[str],
    seeds: Sequence[int],
    facts: dict[str, Any],
) -> dict[str, Any]:
    """What decides every sample of an evaluation, as JSON values.

    Figures noted in the schedule do not count.

    Args:
        pipeline: The pipeline, with its recipe.
        schedule: What is judged.
        prompts: Held-out prompts.
        seeds: Their seeds.
        facts: What else counts: device, libraries, metrics.
    """
    return {
        "tool": __version__,
        **_each("model", pipeline.identity().model_dump(mode="json")),
        "steps": pipeline.recipe.steps,
        "dtype": pipeline.recipe.dtype,
        **_each("call", pipeline.call_arguments()),
        "schedule": schedule_digest(schedule),
        "prompts": digest(prompts),
        "seeds": list(seeds),
        **facts,
    }


def schedule_digest(schedule: Schedule) -> str:
    """SHA-256 of a schedule without the figures noted in it, in hexadecimal digits."""
    bare = tuple(plan.model_copy(update={"measured": None}) for plan in schedule.plans)
    plain = to_bytes(schedule.model_copy(update={"plans": bare}))
    return hashlib.sha256(plain).hexdigest()


def _each(what: str, values: dict[str, Any]) -> dict[str, Any]:
    """The values under names of their own, so that a message can name the one that differs."""
    return {f"{what} {name}": value for name, value in values.items()}


def _inputs(prompt: str, seed: int, contender: Contender) -> list[Any]:
    """What tells a sample from the others; a schedule by all that the runtime reads of it."""
    followed = hashlib.sha256(repr(contender.schedule).encode()).hexdigest()
    return [prompt, seed, contender.method, contender.budget, contender.steps, followed]
