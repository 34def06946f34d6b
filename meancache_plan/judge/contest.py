"""Who competes on what, by which rules."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from meancache_plan.errors import InputError
from meancache_plan.files.journal import Journal
from meancache_plan.judge.circumstances import device_words, versions
from meancache_plan.judge.contender import Contender, plainly
from meancache_plan.judge.figures import Figure, measured
from meancache_plan.source.diffusers.pipeline import Pipeline
from meancache_plan.source.recipe import digest
from meancache_plan.version import __version__


class Rules(NamedTuple):
    """How a contest is held.

    Attributes:
        work: Its name, for messages.
        remedy: How finished samples are kept elsewhere, for messages.
        open: Contenders of all kinds compete, beside the run that they are judged by: turns are
            drawn anew for each sample, the full run's too, and a contender that fails is a row that
            says why. Otherwise everyone runs in order, the full run is made once, and a failure is
            an error.
        libraries: Distributions that contenders come from.
    """

    work: str
    remedy: str
    open: bool = False
    libraries: tuple[str, ...] = ()


@dataclass(frozen=True)
class Contest:
    """Who competes on what.

    Attributes:
        pipeline: The pipeline, not attached, as its owner has set it up.
        full: The run that everything is measured against.
        contenders: Who competes.
        prompts: Held-out prompts, on none of which a contender was fitted.
        seeds: Seeds of the initial noise, each used with every prompt.
        rules: How it is held.
        figures: What is measured.
        flow: Shows where the flow itself leads, so that the full run's own error is seen.
        counted: Samples on which FLOPs are counted where they depend on the sample; 0 counts none.
        known: What else decides a sample, by name, as JSON values.
    """

    pipeline: Pipeline
    full: Contender
    contenders: tuple[Contender, ...]
    prompts: tuple[str, ...]
    seeds: tuple[int, ...]
    rules: Rules
    figures: tuple[Figure, ...] = field(default_factory=measured)
    flow: Contender | None = None
    counted: int = 0
    known: dict[str, Any] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        """Refuse a contest without samples, and contenders that cannot be told apart."""
        if not self.prompts or not self.seeds:
            raise InputError(
                f"nothing to judge by in this {self.rules.work}: give at least one prompt and one "
                "seed"
            )
        keys = [contender.key for contender in self.everyone]
        for key in keys:
            if keys.count(key) > 1:
                raise InputError(f"two methods are both called {key!r}: rename a schedule's file")

    @property
    def everyone(self) -> tuple[Contender, ...]:
        """The full run and the contenders."""
        return self.full, *self.contenders

    def programme(self) -> "Programme":
        """The contest without its pipeline."""
        on = self._circumstances()
        return Programme(
            everyone=tuple(replace(contender, enter=plainly) for contender in self.everyone),
            prompts=self.prompts,
            seeds=self.seeds,
            rules=self.rules,
            figures=tuple(figure.name for figure in self.figures),
            circumstances=on,
            settings=self._settings(on),
        )

    def _circumstances(self) -> dict[str, Any]:
        device = self.pipeline.device
        return {
            "model": self.pipeline.identity(),
            "prompts_sha256": digest(self.prompts),
            "prompts": len(self.prompts),
            "seeds": self.seeds,
            "device": "any device" if self.pipeline.any_device else device_words(device),
            "versions": versions(self.pipeline, self.rules.libraries),
        }

    def _settings(self, on: dict[str, Any]) -> dict[str, Any]:
        pipeline = self.pipeline
        found = {
            "tool": __version__,
            "model": on["model"].model_dump(mode="json"),
            "steps": pipeline.recipe.steps,
            "dtype": pipeline.recipe.dtype,
            "call": pipeline.call_arguments(),
            "prompts": on["prompts_sha256"],
            "seeds": list(self.seeds),
            "device": on["device"],
            "versions": on["versions"],
            "metrics": [figure.name for figure in self.figures],
            **self.known,
        }
        if not self.rules.open:
            return found
        return found | {  # whose turn it is depends on all who compete
            "peers": digest([contender.identity for contender in self.contenders]),
            "flow": None if self.flow is None else self.flow.key,
            "counted": self.counted,
        }


@dataclass(frozen=True)
class Programme:
    """A contest as whoever keeps its outcomes knows it: without a pipeline, so it can be pickled.

    Attributes:
        everyone: The full run and the contenders, none of which can enter a pipeline.
        prompts: Held-out prompts.
        seeds: Each used with every prompt.
        rules: How it is held.
        figures: Names of what is measured.
        circumstances: What figures are measured with and on, as findings state it.
        settings: Everything that a sample's figures depend on, as JSON values; names say what
            differs, in messages.
    """

    everyone: tuple[Contender, ...]
    prompts: tuple[str, ...]
    seeds: tuple[int, ...]
    rules: Rules
    figures: tuple[str, ...]
    circumstances: dict[str, Any]
    settings: dict[str, Any]

    @property
    def full(self) -> Contender:
        """The run that everything is measured against."""
        return self.everyone[0]

    def contender(self, key: str) -> Contender:
        """The one of everyone that has this key."""
        return next(contender for contender in self.everyone if contender.key == key)

    @property
    def jobs(self) -> list[tuple[str, int]]:
        """Prompts and seeds: prompt by prompt, each with all seeds."""
        return [(prompt, seed) for prompt in self.prompts for seed in self.seeds]

    def journal(self, folder: Path | None) -> Journal:
        """The finished samples, kept in a folder, or for the time being.

        Raises:
            InputError: The folder belongs to another contest.
        """
        return Journal(folder, self.settings, self.rules.work, self.rules.remedy)
