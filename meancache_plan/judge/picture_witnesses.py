"""Who is shown an evaluation's pictures as they are made, and keeps some of them."""

import dataclasses
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from meancache_plan.files.journal import Journal
from meancache_plan.judge.result import Shot


class Witness(Protocol):
    """Told of every sample of an evaluation; of a prompt and seed, the full one comes first."""

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
        """The shots, in the order in which they were made."""
        return tuple(self._kept.values())

    def keep(self, shot: Shot) -> None:
        """Keep it, if it is wanted."""
        if (shot.prompt, shot.seed) not in self._wanted:
            return
        middle = len(shot.frames) // 2
        frames = shot.frames[middle : middle + 1].copy()
        self._journal.keep("shot", _key(shot), tensors={"frames": torch.from_numpy(frames)})
        self._note(shot, frames)

    def holds(self, shot: Shot) -> bool:
        """Whether it is not wanted, or its picture was kept."""
        if (shot.prompt, shot.seed) not in self._wanted:
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
