"""Whether a server's model is the one that a schedule was compiled for.

Servers have transformers of their own, so the model is known by what it was loaded from: a hub id,
and the configurations in diffusers' format that lie beside its weights.
"""

import json
from pathlib import Path
from typing import Any

import diffusers

from ...errors import ModelMismatchError
from ...schedule import Model
from ...snapshot import HUB_ID
from ..diffusers.identity import DENOISERS, Configured, class_names, digest

INDEX = "model_index.json"


def check_served(model: Model, source: str, revision: str | None = None) -> bool:
    """Refuse a model that is not the one that a schedule was compiled for.

    Args:
        model: The schedule's.
        source: What the server loads: a folder, or a hub id that is in the local cache.
        revision: Of a hub id.

    Returns:
        Whether the denoisers' configurations were found and compared; ids always are.

    Raises:
        ModelMismatchError: Another hub id, or another denoiser configuration.
    """
    folder = local_folder(source, revision)
    if _is_hub_id(source) and _is_hub_id(model.id) and source != model.id:
        raise _mismatch(model, f"this server's model is {source}")
    if model.fingerprint is None:
        return True
    models = None if folder is None else configured(folder)
    if not models:
        return False
    if model.fingerprint not in (digest(models), class_names(models)):
        raise _mismatch(model, f"{source} has another denoiser ({', '.join(models)})")
    return True


def _mismatch(model: Model, reason: str) -> ModelMismatchError:
    return ModelMismatchError(
        f"the schedule was compiled for {model.id}, but {reason}: serve that model, or run "
        "`meancache-plan calibrate` and `solve` for this one"
    )


def _is_hub_id(source: str) -> bool:
    return HUB_ID.fullmatch(source) is not None and not Path(source).exists()


def local_folder(source: str, revision: str | None) -> Path | None:
    """Where the configurations of a folder's or hub id's model lie on this machine, if they do."""
    if Path(source).is_dir():
        return Path(source)
    if not _is_hub_id(source):
        return None
    from huggingface_hub import try_to_load_from_cache

    index = try_to_load_from_cache(source, INDEX, revision=revision)
    return Path(index).parent if isinstance(index, str) else None


def configured(folder: Path) -> Configured | None:
    """The denoisers that a folder in diffusers' format names; None if any is not to be known."""
    if not (folder / INDEX).is_file():
        return None
    named = _read(folder / INDEX)
    models: dict[str, tuple[type, dict[str, Any]]] = {}
    for name in DENOISERS:
        if not any(named.get(name) or ()):
            continue
        file = folder / name / "config.json"
        config = _read(file) if file.is_file() else {}
        cls = getattr(diffusers, str(config.get("_class_name")), None)
        if cls is None:
            return None
        models[name] = (cls, config)
    return models


def _read(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text(encoding="utf-8"))
