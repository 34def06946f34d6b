"""Finished samples of a judge that may be interrupted: none is made twice, nor counted twice."""

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from meancache_plan.files.journal import Journal
from meancache_plan.files.validation import Checked
from meancache_plan.judge.contender import Contender
from meancache_plan.judge.sample_cost import Compute

SAMPLE, COMPUTE = "sample", "compute"


class Run(Checked):
    """One contender's run of one sample.

    Attributes:
        figures: What is kept of each figure that was measured, by name.
        moments: Mean and mean square of a full run's final latents.
        innovations: At each knot of a plan that has a bound, as a share of that.
    """

    kind: Literal["run"] = "run"
    figures: dict[str, float]
    moments: tuple[float, float] | None = None
    innovations: dict[int, float] = Field(default_factory=dict)


class Failed(Checked):
    """Why a contender has no run of this sample."""

    kind: Literal["failed"] = "failed"
    reason: str


Outcome = Annotated[Run | Failed, Field(discriminator="kind")]

_OUTCOME: TypeAdapter[Run | Failed] = TypeAdapter(Outcome)
_COMPUTE: TypeAdapter[Compute] = TypeAdapter(Compute)


class Kept:
    """Outcomes by prompt, seed and contender, and what was counted for them.

    Args:
        journal: Its settings hold everything else that a sample depends on.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def find(self, prompt: str, seed: int, contender: Contender) -> Run | Failed | None:
        """What is known of this sample, if anything."""
        known = self._journal.find(SAMPLE, [prompt, seed, *contender.identity])
        return None if known is None else _OUTCOME.validate_python(known.value)

    def keep(self, prompt: str, seed: int, contender: Contender, outcome: Run | Failed) -> None:
        """Note the outcome of a finished sample."""
        inputs = [prompt, seed, *contender.identity]
        self._journal.keep(SAMPLE, inputs, outcome.model_dump(mode="json"))

    def find_compute(self, prompt: str, seed: int, contender: Contender) -> Compute | None:
        """What this sample takes, if that was counted."""
        known = self._journal.find(COMPUTE, [prompt, seed, *contender.identity])
        return None if known is None else _COMPUTE.validate_python(known.value)

    def keep_compute(self, prompt: str, seed: int, contender: Contender, counted: Compute) -> None:
        """Note what a sample takes."""
        self._journal.keep(COMPUTE, [prompt, seed, *contender.identity], counted)
