"""Finished samples of a judge that may be interrupted: none is made twice."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from meancache_plan.files import journal
from meancache_plan.judge.peer import Peer
from meancache_plan.judge.witness import Shots

STAGE = "sample"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Run(_Strict):
    """One peer's run of one sample.

    Attributes:
        figures: What is kept of each metric that was measured, by name.
        moments: Mean and mean square of a full run's final latents.
    """

    kind: Literal["run"] = "run"
    figures: dict[str, float]
    moments: tuple[float, float] | None = None


class Failed(_Strict):
    """Why a peer has no run of this sample."""

    kind: Literal["failed"] = "failed"
    reason: str


Outcome = Annotated[Run | Failed, Field(discriminator="kind")]

_OUTCOME: TypeAdapter[Run | Failed] = TypeAdapter(Outcome)


def forget(folder: Path) -> None:
    """Drop finished samples: the result is written. Other files stay."""
    journal.forget(folder, Shots.FILES)


@contextmanager
def tidied(folder: Path) -> Generator[None]:
    """Leave no folder behind in which no sample was finished, however the work ends."""
    try:
        yield
    finally:
        if not (folder / journal.RESULTS).exists():
            forget(folder)


class Kept:
    """Outcomes by prompt, seed and peer.

    Args:
        folder: Where they are kept; without one nothing is.
        settings: Everything that a sample depends on beside its prompt, seed and peer.
        work: What they belong to, for messages.
        remedy: How to have another folder, for messages.

    Raises:
        InputError: The folder cannot be used, or belongs to other work.
    """

    def __init__(
        self, folder: Path | None, settings: dict[str, Any], work: str, remedy: str
    ) -> None:
        self._journal = None if folder is None else journal.Journal(folder, settings, work, remedy)

    def find(self, prompt: str, seed: int, peer: Peer) -> Run | Failed | None:
        """What is known of this sample, if anything."""
        if self._journal is None:
            return None
        entry = self._journal.find(STAGE, [prompt, seed, *peer.identity])
        try:
            return None if entry is None else _OUTCOME.validate_python(entry)
        except ValidationError:  # somebody edited the file
            return None

    def keep(self, prompt: str, seed: int, peer: Peer, outcome: Run | Failed) -> None:
        """Note the outcome of a finished sample."""
        if self._journal is not None:
            inputs = [prompt, seed, *peer.identity]
            self._journal.keep(STAGE, inputs, outcome.model_dump(mode="json"))
