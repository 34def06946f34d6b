"""Who is shown an evaluation's pictures as they are made, and keeps some of them."""

import dataclasses
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from meancache_plan.files.journal import Journal
from meancache_plan.judge.findings import Shot


class Witness(Protocol):
    """Shown the samples of an evaluation; of a prompt and seed, the full one comes first."""

    def expect(self, jobs: Sequence[tuple[str, int]]) -> None:
        """Be told of every prompt and seed in their order, which samples need not come in."""
        ...

    def wants(self, prompt: str, seed: int) -> bool:
        """Whether this prompt's pictures of this seed are to be shown."""
        ...

    def keep(self, shot: Shot) -> None:
        """See a sample that was just made. A full one may be shown again."""
        ...

    def holds(self, shot: Shot) -> bool:
        """Recall a sample that was made before an interruption; it is shown without its frames.

        False has the sample made again.
        """
        ...


class Shots:
    """Keeps pictures of the first prompts' samples, first seed; of a video the middle frame.

    Args:
        prompts: Whose samples.
        seed: Of which noise.
        journal: Where they outlast an interruption.
    """

    def __init__(self, prompts: Sequence[str], seed: int, journal: Journal) -> None:
        self._wanted = [(prompt, seed) for prompt in prompts]
        self._journal = journal
        self._kept: dict[tuple[str, int, str, int], Shot] = {}

    @property
    def kept(self) -> tuple[Shot, ...]:
        """The shots, prompt by prompt, in the order in which they were made."""
        shots = self._kept.values()
        return tuple(sorted(shots, key=lambda shot: self._wanted.index((shot.prompt, shot.seed))))

    def expect(self, jobs: Sequence[tuple[str, int]]) -> None:
        """Nothing depends on them."""

    def wants(self, prompt: str, seed: int) -> bool:
        """Whether it is of the first prompts."""
        return (prompt, seed) in self._wanted

    def keep(self, shot: Shot) -> None:
        """Keep it, if it is wanted."""
        if not self.wants(shot.prompt, shot.seed):
            return
        middle = len(shot.frames) // 2
        frames = shot.frames[middle : middle + 1].copy()
        self._journal.keep("shot", _key(shot), tensors={"frames": torch.from_numpy(frames)})
        self._note(shot, frames)

    def holds(self, shot: Shot) -> bool:
        """Whether it is not wanted, or its picture was kept."""
        if not self.wants(shot.prompt, shot.seed):
            return True
        known = self._journal.find("shot", _key(shot))
        if known is None:
            return False
        self._note(shot, known.tensors()["frames"].numpy())
        return True

    def _note(self, shot: Shot, frames: npt.NDArray[np.float32]) -> None:
        self._kept[_key(shot)] = dataclasses.replace(shot, frames=frames)


def _key(shot: Shot) -> tuple[str, int, str, int]:
    return shot.prompt, shot.seed, shot.method, shot.budget
