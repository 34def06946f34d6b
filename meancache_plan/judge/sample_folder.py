"""A folder of an evaluation's sample pictures: full and cached, prompt by prompt.

Beside the pictures stands, for each cached one, a map of its error: one grey level a pixel, made
from the samples themselves, because eight bits a colour cannot hold the errors of good plans.
"""

import io
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from pydantic import Field, ValidationError

from meancache_plan.errors import InputError
from meancache_plan.files.atomic import check_writable, write_atomically
from meancache_plan.files.journal import within
from meancache_plan.files.validation import Checked, first_reason
from meancache_plan.judge.findings import Evaluation, Shot

FIGURES_FILE, MANIFEST = "figures.json", "samples.json"
"""The evaluation itself, and which picture is which."""

DECADES = 6
"""Error maps tell errors of 10⁻⁶ … 1 apart; the range of pictures is 1."""

FRAMES = 16
"""Of a video at most so many frames are kept, evenly spread from the first to the last."""

COUNT = "frames"
"""What a strip's file says beside its pixels: how many frames it holds."""

_PICTURE = r"[0-9]{1,9}-[0-9a-z]{1,16}(\.error)?\.png"
_OURS = re.compile(rf"({_PICTURE}|figures\.json|samples\.json)\Z")
FileName = Annotated[str, Field(pattern=f"^{_PICTURE}$")]
Strip = npt.NDArray[np.float32]
Level = npt.NDArray[np.uint8]


class Cached(Checked):
    """What a plan made: the picture, the map of its error, PSNR of the sample in dB."""

    budget: Annotated[int, Field(ge=1)]
    calls: Annotated[int, Field(ge=0)]
    psnr: float
    picture: FileName
    error: FileName


class Pictured(Checked):
    """One prompt: the full picture, and the plans' in the order of their budgets."""

    prompt: str
    seed: int
    full: FileName
    cached: tuple[Cached, ...]


class Samples(Checked):
    """The folder's contents; ``schedule_sha256`` as in the evaluation, ``folder`` where it is."""

    format: Literal["meancache-samples"] = "meancache-samples"
    version: Literal[1] = 1
    schedule_sha256: str
    steps: int
    samples: tuple[Pictured, ...]
    folder: Annotated[Path, Field(exclude=True)] = Path()


class SampleFolder:
    """Writes such a folder while an evaluation runs: show it every shot, then finish.

    Of each prompt the pictures of the seed that comes first are kept; a video's is a strip of its
    frames, the first at the top.

    Raises:
        InputError: The folder cannot be made, or holds files of others.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seeds: dict[str, int] = {}
        self._samples: dict[str, Pictured] = {}
        self._full: Strip | None = None
        if not folder.exists():
            check_writable(folder)
        elif not folder.is_dir():
            raise InputError(f"{folder}: is a file: give a folder for pictures")
        strangers = [file.name for file in folder.glob("*") if not _is_ours(file)]
        if strangers:
            raise InputError(
                f"{folder}: holds {strangers[0]}, which no evaluation wrote: give a new folder"
            )

    @property
    def work(self) -> Path:
        """Where the finished samples of an evaluation belong whose pictures are here."""
        return within(self._folder)

    def expect(self, jobs: Sequence[tuple[str, int]]) -> None:
        """Number the prompts, and learn which seed of each comes first."""
        for prompt, seed in jobs:
            self._seeds.setdefault(prompt, seed)

    def wants(self, prompt: str, seed: int) -> bool:
        """Whether it is the first seed."""
        return self._seeds.setdefault(prompt, seed) == seed

    def keep(self, shot: Shot) -> None:
        """Write the picture of a full run, or of a plan after it with the map of its error."""
        if not self._is_wanted(shot):
            return
        strip, count = _strip(shot)
        if shot.method == "full":
            self._full = strip
            self._save(self._files(shot)[0], _rounded(strip), count)
        elif self._full is not None:
            picture, error = self._files(shot)
            squares = (strip.astype(np.float64) - self._full) ** 2
            self._save(picture, _rounded(strip), count)
            self._save(error, to_levels(np.sqrt(squares.mean(axis=-1))), count)
        self._note(shot)

    def holds(self, shot: Shot) -> bool:
        """Whether nothing of this sample is kept, or what is kept was written before."""
        if not self._is_wanted(shot):
            return True
        if not all((self._folder / name).is_file() for name in self._files(shot)):
            return False
        self._note(shot)
        return True

    def finish(self, evaluation: Evaluation) -> Samples:
        """Write the evaluation and the manifest; pictures of an earlier evaluation go."""
        found = Samples(
            schedule_sha256=evaluation.schedule_sha256,
            steps=evaluation.steps,
            samples=tuple(self._samples[each] for each in self._seeds if each in self._samples),
            folder=self._folder,
        )
        self._write(FIGURES_FILE, evaluation.to_json().encode())
        self._write(MANIFEST, found.model_dump_json(indent=1).encode() + b"\n")
        named = {FIGURES_FILE, MANIFEST} | {sample.full for sample in found.samples}
        named |= {n for s in found.samples for c in s.cached for n in (c.picture, c.error)}
        for file in self._folder.iterdir():
            if file.name not in named and _OURS.match(file.name):
                file.unlink(missing_ok=True)
        return found

    def _is_wanted(self, shot: Shot) -> bool:
        return shot.method in ("full", "plan") and self.wants(shot.prompt, shot.seed)

    def _files(self, shot: Shot) -> tuple[str, ...]:
        number = f"{list(self._seeds).index(shot.prompt) + 1:03d}"
        if shot.method == "full":
            return (f"{number}-full.png",)
        stem = f"{number}-{shot.budget:03d}"
        return f"{stem}.png", f"{stem}.error.png"

    def _note(self, shot: Shot) -> None:
        names = self._files(shot)
        if shot.method == "full":
            fresh = Pictured(prompt=shot.prompt, seed=shot.seed, full=names[0], cached=())
            self._samples.setdefault(shot.prompt, fresh)
            return
        entry = Cached(
            budget=shot.budget, calls=shot.calls, psnr=shot.psnr, picture=names[0], error=names[1]
        )
        sample = self._samples[shot.prompt]
        cached = (*(each for each in sample.cached if each.budget != shot.budget), entry)
        self._samples[shot.prompt] = sample.model_copy(update={"cached": cached})

    def _save(self, name: str, levels: Level, count: int) -> None:
        stream, info = io.BytesIO(), PngInfo()
        if count > 1:
            info.add_text(COUNT, str(count))
        Image.fromarray(levels).save(stream, format="PNG", pnginfo=info)
        self._write(name, stream.getvalue())

    def _write(self, name: str, data: bytes) -> None:
        with suppress(OSError):  # said when the file cannot be written
            self._folder.mkdir(exist_ok=True)
        write_atomically(self._folder / name, data)


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


def _is_ours(file: Path) -> bool:
    return file == within(file.parent) or _OURS.match(file.name) is not None


def _strip(shot: Shot) -> tuple[Strip, int]:
    """The frames that are kept, one below the other, and how many they are."""
    count = len(shot.frames)
    chosen = np.unique(np.linspace(0, count - 1, min(count, FRAMES)).round().astype(int))
    return np.concatenate(shot.frames[chosen], axis=0).clip(0, 1), len(chosen)


def _rounded(strip: Strip) -> Level:
    return (strip * 255).round().astype(np.uint8)
