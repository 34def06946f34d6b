"""Finished samples of a comparison, each kept as a file of its own: none is made twice."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from meancache_plan.errors import InputError
from meancache_plan.files import write_atomically
from meancache_runtime.strict_json import shorten

SETTINGS = "settings.json"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Run(_Strict):
    """One peer's run of one sample: errors against the full run and the flow itself, and costs.

    ``flops`` and ``whole`` are shares of the full run's, where they were counted; ``memory`` is
    in bytes.
    """

    kind: Literal["run"] = "run"
    calls: int
    seconds: float
    latent_error: float
    flow_error: float | None
    pictures: dict[str, float]
    memory: int | None
    flops: float | None = None
    whole: float | None = None


class Failed(_Strict):
    """Why a peer has no run of this sample."""

    kind: Literal["failed"] = "failed"
    reason: str


Outcome = Annotated[Run | Failed, Field(discriminator="kind")]


class Sample(_Strict):
    """All peers' runs of one sample by their keys; moments of the full run's final latents."""

    moments: tuple[float, float]
    outcomes: dict[str, Outcome]


class Journal:
    """Samples by number in a folder; without a folder nothing is kept.

    Args:
        folder: Where; made if it is missing.
        settings: Everything that a sample depends on; JSON values.

    Raises:
        InputError: The folder cannot be used, or belongs to another comparison.
    """

    def __init__(self, folder: Path | None, settings: dict[str, Any]) -> None:
        self._folder = folder
        if folder is None:
            return
        header = folder / SETTINGS
        wanted = json.dumps(settings, sort_keys=True, indent=1)
        try:
            folder.mkdir(exist_ok=True)
            if not header.exists():
                write_atomically(header, wanted.encode())
            found = json.loads(header.read_bytes())
        except (OSError, ValueError) as error:
            raise InputError(f"{folder}: cannot keep finished samples ({error})") from error
        self._check(folder, found, json.loads(wanted))

    def recall(self, number: int, compute: Callable[[], Sample]) -> Sample:
        """The sample of this number, computed only if it is not known yet."""
        if self._folder is None:
            return compute()
        file = self._folder / f"{number:05d}.json"
        if file.exists():
            try:
                return Sample.model_validate_json(file.read_bytes())
            except ValueError as error:
                raise InputError(f"{file}: not readable; delete it and run again") from error
        found = compute()
        write_atomically(file, found.model_dump_json(indent=1).encode())
        return found

    @staticmethod
    def _check(folder: Path, there: dict[str, Any], here: dict[str, Any]) -> None:
        for name in sorted(here.keys() | there.keys()):
            if here.get(name) != there.get(name):
                raise InputError(
                    f"{folder}: belongs to another comparison: {name} is "
                    f"{shorten(str(there.get(name)))} there and {shorten(str(here.get(name)))} "
                    "here; delete it, or choose another --json file"
                )


def forget(folder: Path) -> None:
    """Drop what was kept in a journal's folder: it is in the comparison now."""
    if (folder / SETTINGS).exists():
        shutil.rmtree(folder)
