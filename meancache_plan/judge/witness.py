"""Who is shown an evaluation's pictures as they are made, and keeps some of them."""

import dataclasses
import hashlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from meancache_plan.files.atomic import write_atomically
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
        folder: Where they outlast an interruption; nowhere if None.
    """

    FILES = "shot-*.npy"

    def __init__(self, prompts: Sequence[str], seed: int, folder: Path | None) -> None:
        self._wanted = [(prompt, seed) for prompt in prompts]
        self._folder = folder
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
        if self._folder is not None:
            stream = io.BytesIO()
            np.save(stream, frames, allow_pickle=False)
            write_atomically(self._folder / _file_name(shot), stream.getvalue())
        self._note(shot, frames)

    def holds(self, shot: Shot) -> bool:
        """Whether it is not wanted, or its picture was kept."""
        if (shot.prompt, shot.seed) not in self._wanted:
            return True
        if self._folder is None:
            return False
        try:
            frames = np.load(self._folder / _file_name(shot), allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return False
        self._note(shot, frames)
        return True

    def _note(self, shot: Shot, frames: npt.NDArray[np.float32]) -> None:
        self._kept[_key(shot)] = dataclasses.replace(shot, frames=frames)


def _key(shot: Shot) -> tuple[str, int, str, int]:
    return shot.prompt, shot.seed, shot.method, shot.budget


def _file_name(shot: Shot) -> str:
    return f"shot-{hashlib.sha256(repr(_key(shot)).encode()).hexdigest()[:24]}.npy"
