"""A durable record of finished work: what was computed once is never computed again."""

import hashlib
import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from meancache_plan.errors import InputError
from meancache_plan.files.atomic import write_atomically
from meancache_runtime.strict_json import shorten

RESULTS, SETTINGS = "results.jsonl", "settings.json"
"""Files of a journal; the settings say what the results depend on."""


class Journal:
    """Results by key, in a folder of their own.

    Args:
        folder: Made if it is missing; its parent is there.
        settings: Everything that a result depends on beside its key; JSON values.
        work: What the results belong to, such as ``"refinement"``, for messages.
        remedy: How to have another folder, for messages.

    Raises:
        InputError: The folder cannot be used, or belongs to work with other settings.
    """

    def __init__(self, folder: Path, settings: dict[str, Any], work: str, remedy: str) -> None:
        self.folder = folder
        self._file = folder / RESULTS
        self._work, self._remedy = work, remedy
        header = folder / SETTINGS
        wanted = json.dumps(settings, sort_keys=True, indent=1)
        try:
            folder.mkdir(exist_ok=True)
            if header.exists():
                self._check(json.loads(header.read_bytes()), json.loads(wanted))
            else:
                write_atomically(header, wanted.encode())
            self._results = self._read()
        except InputError:
            raise
        except (OSError, ValueError) as error:
            raise InputError(
                f"{folder}: cannot be used ({error}): finished work is kept there; delete "
                f"it, or {remedy}"
            ) from error

    def recall(self, stage: str, inputs: Any, compute: Callable[[], Any]) -> Any:
        """The result of ``compute()``, a JSON value; computed only if it is not known yet."""
        key = _key(stage, inputs)
        if key not in self._results:
            self.keep(stage, inputs, compute())
        return self._results[key]

    def find(self, stage: str, inputs: Any) -> Any:
        """The result that is known, or None."""
        return self._results.get(_key(stage, inputs))

    def keep(self, stage: str, inputs: Any, result: Any) -> None:
        """Note a result, a JSON value, in place of any known one."""
        key = _key(stage, inputs)
        self._append({"key": key, "stage": stage, "result": result})
        self._results[key] = result

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
                    f"{self.folder}: belongs to another {self._work}: {name} is "
                    f"{shorten(str(there.get(name)))} there and {shorten(str(here.get(name)))} "
                    f"here; {self._remedy}, or delete {self.folder.name}"
                )


def forget(folder: Path, *others: str) -> None:
    """Drop a journal whose work is done, and its files of these patterns; strangers' stay."""
    for pattern in (RESULTS, SETTINGS, *others):
        for file in folder.glob(pattern):
            file.unlink(missing_ok=True)
    with suppress(OSError):  # somebody else's file is in it, or it was never made
        folder.rmdir()


def _key(stage: str, inputs: Any) -> str:
    text = json.dumps([stage, inputs], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
