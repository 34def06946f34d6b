"""A folder of an evaluation's sample pictures: full and cached, prompt by prompt.

Beside the pictures stands, for each cached one, a map of its error: one grey level a pixel, made
from the samples themselves, because eight bits a colour cannot hold the errors of good plans.
"""

import io
import re
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from meancache_plan.errors import InputError
from meancache_plan.evaluate.result import Evaluation, Shot
from meancache_plan.files import write_atomically
from meancache_plan.wording import first_reason

FIGURES, MANIFEST = "figures.json", "samples.json"
"""The evaluation itself, and which picture is which."""

DECADES = 6
"""Error maps tell errors of 10⁻⁶ … 1 apart; the range of pictures is 1."""

_PICTURE = r"[0-9]{1,9}-[0-9a-z]{1,16}(\.error)?\.png"
_OURS = re.compile(rf"({_PICTURE}|figures\.json|samples\.json)\Z")
FileName = Annotated[str, Field(pattern=f"^{_PICTURE}$")]
Frame = npt.NDArray[np.float32]
Level = npt.NDArray[np.uint8]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Cached(_Strict):
    """What a plan made: the picture, the map of its error, PSNR of the sample in dB."""

    budget: Annotated[int, Field(ge=1)]
    calls: Annotated[int, Field(ge=0)]
    psnr: float
    picture: FileName
    error: FileName


class Pictured(_Strict):
    """One prompt: the full picture, and the plans' in the order of their budgets."""

    prompt: str
    seed: int
    full: FileName
    cached: tuple[Cached, ...]


class Samples(_Strict):
    """The folder's contents; ``schedule_sha256`` as in the evaluation, ``folder`` where it is."""

    format: Literal["meancache-samples"] = "meancache-samples"
    version: Literal[1] = 1
    schedule_sha256: str
    steps: int
    samples: tuple[Pictured, ...]
    folder: Annotated[Path, Field(exclude=True)] = Path()


class SampleFolder:
    """Writes such a folder while an evaluation runs: show it every shot, then finish.

    Raises:
        InputError: The folder cannot be made, or holds files of others.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._samples: list[Pictured] = []
        self._full: Frame | None = None
        try:
            folder.mkdir(exist_ok=True)
            strangers = [file.name for file in folder.iterdir() if not _OURS.match(file.name)]
        except OSError as error:
            raise InputError(f"{folder}: is no folder for pictures ({error.strerror})") from error
        if strangers:
            raise InputError(
                f"{folder}: holds {strangers[0]}, which no evaluation wrote: give a new folder"
            )

    def keep(self, shot: Shot) -> None:
        """Write the pictures of a full run, and of the plans after it; of a video the middle frame.

        Of each prompt only the seed that comes first is kept.
        """
        if shot.method == "full":
            known = {sample.prompt for sample in self._samples}
            self._full = None if shot.prompt in known else _middle(shot)
            if self._full is not None:
                name = f"{len(self._samples) + 1:03d}-full.png"
                self._save(name, _rounded(self._full))
                self._samples.append(
                    Pictured(prompt=shot.prompt, seed=shot.seed, full=name, cached=())
                )
        elif shot.method == "plan" and self._full is not None:
            last = self._samples[-1]
            cached = (*last.cached, self._save_cached(shot, self._full))
            self._samples[-1] = last.model_copy(update={"cached": cached})

    def finish(self, evaluation: Evaluation) -> Samples:
        """Write the evaluation and the manifest; pictures of an earlier evaluation go."""
        found = Samples(
            schedule_sha256=evaluation.schedule_sha256,
            steps=evaluation.steps,
            samples=tuple(self._samples),
            folder=self._folder,
        )
        write_atomically(self._folder / FIGURES, evaluation.to_json().encode())
        write_atomically(self._folder / MANIFEST, found.model_dump_json(indent=1).encode() + b"\n")
        named = {FIGURES, MANIFEST} | {sample.full for sample in found.samples}
        named |= {n for s in found.samples for c in s.cached for n in (c.picture, c.error)}
        for file in self._folder.iterdir():
            if file.name not in named and _OURS.match(file.name):
                file.unlink(missing_ok=True)
        return found

    def _save_cached(self, shot: Shot, full: Frame) -> Cached:
        frame, stem = _middle(shot), f"{len(self._samples):03d}-{shot.budget:03d}"
        squares = (frame.astype(np.float64) - full) ** 2
        entry = Cached(
            budget=shot.budget,
            calls=shot.calls,
            psnr=shot.psnr,
            picture=f"{stem}.png",
            error=f"{stem}.error.png",
        )
        self._save(entry.picture, _rounded(frame))
        self._save(entry.error, to_levels(np.sqrt(squares.mean(axis=-1))))
        return entry

    def _save(self, name: str, levels: Level) -> None:
        stream = io.BytesIO()
        Image.fromarray(levels).save(stream, format="PNG")
        write_atomically(self._folder / name, stream.getvalue())


def load_samples(folder: Path) -> Samples:
    """Read a folder's manifest. Raises InputError with the place and the reason."""
    file = folder / MANIFEST
    try:
        found = Samples.model_validate_json(file.read_bytes())
    except OSError as error:
        raise InputError(
            f"{file}: cannot be read ({error.strerror}); "
            "make the folder with `meancache-plan evaluate --samples FOLDER`"
        ) from error
    except ValidationError as error:
        raise InputError(f"{file}: {first_reason(error, 'samples')}") from error
    return found.model_copy(update={"folder": folder})


def to_levels(errors: npt.NDArray[np.float64]) -> Level:
    """Errors 0 … 1 as grey levels: 0 below 10⁻⁶, then 1 … 255 by their logarithm."""
    tiny = 10.0**-DECADES
    share = np.log10(np.maximum(errors, tiny)) / DECADES + 1
    levels = 1 + np.round(254 * share.clip(0, 1))
    return np.where(errors < tiny, 0, levels).astype(np.uint8)


def from_levels(levels: Level) -> npt.NDArray[np.float64]:
    """The errors that the grey levels stand for, within 3 %."""
    errors = 10.0 ** (DECADES * ((levels.astype(np.float64) - 1) / 254 - 1))
    return np.where(levels == 0, 0.0, errors)


def _middle(shot: Shot) -> Frame:
    return shot.frames[len(shot.frames) // 2].clip(0, 1)


def _rounded(frame: Frame) -> Level:
    return (frame * 255).round().astype(np.uint8)
