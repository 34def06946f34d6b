"""Finished parts of an output that is not whole yet: what was computed once is not made again.

They lie in ``OUTPUT.unfinished/`` until the output is written. Each is a safetensors file of its
own, tensors with a JSON value beside them, written whole or not at all, and named for everything
that it depends on: what an interruption cut short, or other settings made, is never taken for it.
"""

import hashlib
import json
import shutil
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, NamedTuple

import safetensors
import safetensors.torch
from torch import Tensor

from meancache_plan.errors import InputError
from meancache_plan.files.atomic import write_atomically
from meancache_plan.files.differing_settings import Difference, differences
from meancache_plan.files.lock import LOCK
from meancache_runtime.strict_json import shorten

SUFFIX, SETTINGS, VALUE = ".unfinished", "settings.json", "value"
"""Of the folder; its file of settings; the metadata entry that holds a part's JSON value."""


def beside(file: Path) -> Path:
    """The folder of unfinished work on a file."""
    return file.with_name(file.name + SUFFIX)


def within(folder: Path) -> Path:
    """The folder of unfinished work on a folder, which lies in it."""
    return folder / f"meancache{SUFFIX}"


def drop(folder: Path) -> None:
    """Delete a folder of unfinished work: the output is written. A lock in it stays held."""
    for each in folder.glob("*"):
        if each.is_dir():
            shutil.rmtree(each, ignore_errors=True)
        elif each.name != LOCK:
            each.unlink(missing_ok=True)
    with suppress(OSError):  # it was never made, or is locked
        folder.rmdir()


class Part(NamedTuple):
    """A finished part: its JSON value; its tensors stay on the disk until they are asked for."""

    value: Any
    file: Path

    def tensors(self) -> dict[str, Tensor]:
        """All of its tensors by name, on the CPU. Raises InputError if they are gone."""
        with self._open() as stored:
            return {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118

    def item(self, name: str, index: int) -> Tensor:
        """``tensor[index]`` of the tensor of this name; the rest of it is not read."""
        with self._open() as stored:
            return stored.get_slice(name)[index]

    def _open(self) -> safetensors.safe_open:
        try:
            return safetensors.safe_open(self.file, framework="pt")
        except (OSError, safetensors.SafetensorError) as error:
            raise InputError(f"{self.file}: is gone or damaged ({error}); run again") from error


class Journal:
    """Finished parts by what they are, in a folder of unfinished work. One run at a time adds some.

    Args:
        folder: Made with the first part; by default one for the time being, gone with the journal.
        settings: Everything that each part depends on beside its own inputs; JSON values.
        work: What the parts belong to, such as ``"refinement"``, for messages.
        remedy: How to have another folder, for messages.

    Raises:
        InputError: The folder belongs to work with other settings.
    """

    def __init__(
        self,
        folder: Path | None = None,
        settings: Mapping[str, Any] | None = None,
        work: str = "run",
        remedy: str = "choose another output",
    ) -> None:
        self.folder = folder or Path(mkdtemp(prefix="meancache-"))
        if folder is None:
            weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
        self._settings = json.loads(json.dumps(settings or {}))
        known = _read(self.folder / SETTINGS)
        for difference in differences(known, self._settings) if known else ():
            raise InputError(belongs_to_another(self.folder, work, difference, remedy))

    def find(self, stage: str, inputs: Any) -> Part | None:
        """The part that is known for these inputs, JSON values; None if there is none, or half."""
        file = self._file(stage, inputs)
        try:
            with safetensors.safe_open(file, framework="pt") as stored:
                return Part(json.loads((stored.metadata() or {})[VALUE]), file)
        except (OSError, safetensors.SafetensorError, KeyError, ValueError):
            return None

    def keep(
        self,
        stage: str,
        inputs: Any,
        value: Any = None,
        tensors: Mapping[str, Tensor] | None = None,
    ) -> Part:
        """Keep a part in place of any known one.

        Args:
            stage: Which kind of part; lower-case letters.
            inputs: What it depends on, JSON values.
            value: A JSON value.
            tensors: By name, on any device.

        Raises:
            InputError: The folder cannot be written.
        """
        file, text = self._file(stage, inputs), json.dumps(value)
        plain = {name: each.detach().cpu().contiguous() for name, each in (tensors or {}).items()}
        self._claim()
        write_atomically(file, safetensors.torch.save(plain, {VALUE: text}))
        return Part(json.loads(text), file)

    def recall(self, stage: str, inputs: Any, compute: Callable[[], Any]) -> Any:
        """The value of ``compute()``, as JSON gives it back; computed only if it is not known."""
        known = self.find(stage, inputs)
        return (known or self.keep(stage, inputs, compute())).value

    def _claim(self) -> None:
        """Say in the folder whose it is."""
        header = self.folder / SETTINGS
        if _read(header) is None:
            with suppress(OSError):  # said when the file cannot be written
                self.folder.mkdir(exist_ok=True)
            write_atomically(header, json.dumps(self._settings, indent=1).encode())

    def _file(self, stage: str, inputs: Any) -> Path:
        text = json.dumps([self._settings, stage, inputs], sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:32]
        return self.folder / f"{stage}-{digest}.safetensors"


def belongs_to_another(place: Path, work: str, found: Difference, remedy: str) -> str:
    """What is wrong with a file or folder of other settings; of digests only that they differ."""
    told = any(str(value).startswith("sha256:") for value in found[1:])
    values = f" ({shorten(str(found.there))} there, {shorten(str(found.here))} here)"
    name = found.name.removesuffix("_sha256")
    return (
        f"{place}: belongs to another {work}, which differs in its {name}{'' if told else values}; "
        f"{remedy}, or delete {place.name}"
    )


def _read(header: Path) -> Any:
    """The settings that a folder is claimed for; None if it is not, or that was cut short."""
    try:
        return json.loads(header.read_bytes())
    except (OSError, ValueError):
        return None
