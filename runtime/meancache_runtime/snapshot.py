"""Where a schedule lies: a file, a folder of a model's weights, or a repository of the hub.

Only files of one fixed name are looked for, and nothing here reads them: whatever is found goes
through the strict reader.
"""

import os
import re
from typing import Any

from .errors import ScheduleError, ScheduleNotFoundError
from .strict_json import shorten

FILE_NAME = "meancache_schedule.json"
"""The name under which a schedule lies beside a model's weights."""

HUB_ID = re.compile(r"\w[\w.-]{0,95}/\w[\w.-]{0,95}", re.ASCII)
"""``owner/name``; what ends in ``.json`` is a file's path all the same."""

_SNAPSHOT = re.compile(r"(.*[/\\]models--([^/\\]+)[/\\]snapshots[/\\][0-9a-f]{40})([/\\].*)?")
"""A place in the hub's local cache: the snapshot's folder, and whose it is."""

_REASONS = {
    "GatedRepoError": "the repository is gated: accept its terms, and log in with `hf auth login`",
    "RepositoryNotFoundError": "there is no such repository, or it asks you to log in with "
    "`hf auth login`; for a file or folder of yours give its path",
    "RevisionNotFoundError": "the repository has no such revision: give a branch, tag or commit",
    "LocalEntryNotFoundError": "it is not in the local cache, and the hub cannot be reached: go "
    "online once, or give the path of a file or folder of yours",
    "OfflineModeIsEnabled": "it is not in the local cache, and HF_HUB_OFFLINE is set: go online "
    "once, or give the path of a file or folder of yours",
    "EntryNotFoundError": "the repository holds none: give the path of a schedule, or make one "
    "with `meancache-plan pack`",
}
"""What the hub's library may say, by the name of the error's class; subclasses come first."""


def locate(source: str | os.PathLike[str], revision: str | None = None) -> str:
    """Return the path of the schedule's file; it need not exist.

    Args:
        source: A file; a folder that holds :data:`FILE_NAME`; or, where there is nothing of this
            name nor a folder ``owner``, a hub id (``owner/name``).
        revision: Branch, tag or commit; for a hub id only.

    Raises:
        ScheduleNotFoundError: The folder or the repository holds no schedule, the hub cannot be
            reached, or ``huggingface_hub`` is not installed.
        ScheduleError: A revision is given, but ``source`` is not a hub id; or it is no path.
    """
    given: Any = source
    if not isinstance(given, str | os.PathLike) or "\0" in str(source):
        shown = repr(given) if isinstance(given, str | bytes) else type(given).__name__
        raise ScheduleError(
            f"{shorten(shown)} is no path: give the path of a schedule, or a hub id"
        )
    if isinstance(source, str) and _is_hub_id(source):
        return _download(source, revision)
    if revision is not None:
        raise ScheduleError(
            f"{source}: a revision ({revision}) belongs to a hub id (owner/name), and this is a "
            "path: leave the revision out"
        )
    path = os.fspath(source)
    if not os.path.isdir(path):
        return path
    file = os.path.join(path, FILE_NAME)
    if not os.path.isfile(file):
        raise ScheduleNotFoundError(
            f"{path}: this folder holds no {FILE_NAME}: give the path of a schedule's file, or "
            "make one with `meancache-plan pack`"
        )
    return file


def beside(pipe: Any) -> str:
    """Return the path of the schedule that lies beside the weights of a pipeline.

    It is looked for in the folder that the pipeline was loaded from, or in the hub's snapshot of
    it in the local cache; nothing is downloaded.

    Raises:
        ScheduleNotFoundError: No schedule lies there; the message says where it should be.
    """
    name = getattr(pipe, "name_or_path", None)
    if not isinstance(name, str | os.PathLike):
        raise ScheduleNotFoundError(
            f"this {type(pipe).__name__} was not loaded from a folder or the hub, so no "
            f"{FILE_NAME} lies beside it: give attach a schedule, as load_schedule returns it"
        )
    name = os.fspath(name)
    folder = _snapshot_folder(pipe, name) or (name if os.path.isdir(name) else None)
    file = None if folder is None else os.path.join(folder, FILE_NAME)
    if file is not None and os.path.isfile(file):
        return file
    if os.path.isdir(name) or not _is_hub_id(name):
        raise ScheduleNotFoundError(
            f"no schedule was given, and there is no {os.path.join(name, FILE_NAME)} beside the "
            f"pipeline: put one there, as `meancache-plan pack` makes it, or give attach one"
        )
    raise ScheduleNotFoundError(
        f"no schedule was given, and there is no {FILE_NAME} in "
        f"{folder or 'the local cache'}, the snapshot of {name} that the pipeline was loaded from: "
        f"give attach load_schedule({_arguments(name, folder)}), which asks the hub"
    )


def _is_hub_id(source: str) -> bool:
    return (
        HUB_ID.fullmatch(source) is not None
        and not source.endswith(".json")
        and not os.path.exists(source.partition("/")[0])  # else a folder's name, mistyped
    )


def _snapshot_folder(pipe: Any, name: str) -> str | None:
    """The folder in the hub's local cache that the components of ``name`` were loaded from."""
    for component in vars(pipe).values():
        config = getattr(component, "config", None)
        found = _SNAPSHOT.fullmatch(str(getattr(config, "_name_or_path", None)))
        if found is not None and found[2] == name.replace("/", "--"):
            return found[1]
    return None


def _arguments(name: str, folder: str | None) -> str:
    return repr(name) + ("" if folder is None else f", revision={os.path.basename(folder)!r}")


def _download(repository: str, revision: str | None) -> str:
    """The file of a repository: from the local cache if it is there, else from the hub."""
    place = repository if revision is None else f"{repository} at {revision}"
    try:
        from huggingface_hub import hf_hub_download, try_to_load_from_cache
    except ImportError as error:
        raise ScheduleNotFoundError(
            f"{repository}: there is no such file or folder here, and hub ids need "
            "huggingface_hub: `pip install huggingface_hub`, or give the path of a schedule"
        ) from error
    try:
        kept = try_to_load_from_cache(repository, FILE_NAME, revision=revision)
        return (
            kept
            if isinstance(kept, str)
            else hf_hub_download(repository, FILE_NAME, revision=revision)
        )
    except Exception as error:  # of the hub's library, or of any beneath it
        raise ScheduleNotFoundError(f"{place}: no {FILE_NAME}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    for kind in type(error).__mro__:
        if kind.__name__ in _REASONS:
            return _REASONS[kind.__name__]
    text = str(error).strip()
    return f"the hub cannot be asked ({text.splitlines()[0] if text else type(error).__name__})"
