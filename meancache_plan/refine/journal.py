"""A durable record of finished work: what was computed once is never computed again."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from meancache_plan.errors import InputError
from meancache_plan.files import check_writable, write_atomically
from meancache_runtime.strict_json import shorten


def folder_of(path: Path) -> Path:
    """Where work on the schedule file ``path`` is kept: ``FILE.refine/`` beside it."""
    return path.with_name(path.name + ".refine")


def forget(path: Path) -> None:
    """Drop the work that was kept for a schedule file: it is written. Other files stay."""
    folder = folder_of(path)
    for trajectories in folder.glob("trajectories-*"):
        shutil.rmtree(trajectories, ignore_errors=True)
    for name in (RESULTS, SETTINGS):
        (folder / name).unlink(missing_ok=True)
    with suppress(OSError):  # somebody else's file is in it
        folder.rmdir()


RESULTS, SETTINGS = "results.jsonl", "settings.json"
"""Files of a journal; the settings say what the results depend on."""


class Journal:
    """Results by key, in ``FILE.refine/`` beside the schedule that they are for.

    Args:
        path: The schedule's file.
        settings: Everything that a result depends on beside its key; JSON values.

    Raises:
        InputError: The place cannot be written, or the folder belongs to another refinement.
    """

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        check_writable(path)
        self.folder = folder_of(path)
        self._file = self.folder / RESULTS
        header = self.folder / SETTINGS
        wanted = json.dumps(settings, sort_keys=True, indent=1)
        try:
            self.folder.mkdir(exist_ok=True)
            if header.exists():
                self._check(json.loads(header.read_bytes()), json.loads(wanted))
            else:
                write_atomically(header, wanted.encode())
            self._results = self._read()
        except InputError:
            raise
        except (OSError, ValueError) as error:
            raise InputError(
                f"{self.folder}: cannot be used ({error}): finished work is kept there; delete "
                "it, or choose another file with -o"
            ) from error

    def recall(self, stage: str, inputs: Any, compute: Callable[[], Any]) -> Any:
        """The result of ``compute()``, a JSON value; computed only if it is not known yet."""
        text = json.dumps([stage, inputs], sort_keys=True)
        key = hashlib.sha256(text.encode()).hexdigest()
        if key not in self._results:
            self._results[key] = compute()
            self._append({"key": key, "stage": stage, "result": self._results[key]})
        return self._results[key]

    def _append(self, entry: dict[str, Any]) -> None:
        try:
            with self._file.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(entry) + "\n")
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            raise InputError(f"{self._file}: cannot be written ({error.strerror})") from error

    def _read(self) -> dict[str, Any]:
        if not self._file.exists():
            return {}
        results: dict[str, Any] = {}
        whole = 0
        for line in self._file.read_bytes().splitlines(keepends=True):
            try:
                entry = json.loads(line)
                known = {entry["key"]: entry["result"]}
            except (ValueError, TypeError, KeyError):
                break  # what an interrupted run wrote last
            if not line.endswith(b"\n"):
                break
            results |= known
            whole += len(line)
        os.truncate(self._file, whole)
        return results

    def _check(self, there: dict[str, Any], here: dict[str, Any]) -> None:
        for name in sorted(here.keys() | there.keys()):
            if here.get(name) != there.get(name):
                raise InputError(
                    f"{self.folder}: belongs to another refinement: {name} is "
                    f"{shorten(str(there.get(name)))} there and {shorten(str(here.get(name)))} "
                    f"here; choose another file with -o, or delete {self.folder.name}"
                )
