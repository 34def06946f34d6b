"""A model's identity from its configurations alone: no weights are read, nothing is fetched."""

import json
from pathlib import Path
from typing import Any

from meancache_plan.errors import InputError
from meancache_plan.schedule.artifact import ModelIdentity
from meancache_plan.source import catalog
from meancache_plan.source.recipe import Recipe
from meancache_runtime.hosts.diffusers.identity import digest
from meancache_runtime.hosts.diffusers.sampler import EULER
from meancache_runtime.hosts.servers.served_model import INDEX, configured, local_folder


def unloaded(model: str, recipe: Recipe) -> ModelIdentity:
    """What a schedule says of a model to recognise it.

    Args:
        model: A directory; a hub id, whose configurations count if they are in the local cache; or
            ``"reference"`` or ``"reference-video"``.
        recipe: Its recipe; where its configurations are not at hand, the model is known by its id.

    Raises:
        InputError: It is no directory of a diffusers pipeline, nor a hub id that is in the local
            cache or has a recipe; or it takes no Euler steps.
    """
    source = catalog.source_of(model)
    folder = local_folder(source, recipe.revision)
    if folder is None and recipe.pipeline is not None:
        return _identity(model, pipeline=recipe.pipeline)
    if folder is None or not (folder / INDEX).is_file():
        raise InputError(
            f"{model}: no directory with a {INDEX}, no hub id that is in the local cache, and no "
            "recipe names it: give one of these"
        )
    index = _read(folder / INDEX)
    scheduler = (index.get("scheduler") or (None, None))[1]
    check_euler(model, None if scheduler == EULER else str(scheduler))
    denoisers = configured(folder)
    return _identity(
        Path(source).resolve().name if Path(source).is_dir() else model,
        fingerprint=digest(denoisers) if denoisers else None,
        pipeline=index.get("_class_name"),
        scheduler=scheduler,
    )


def check_euler(model: str, replaced: str | None) -> None:
    """Refuse a model that samples with another sampler, for which no starting plan was measured.

    Args:
        model: Its name.
        replaced: The sampler's class; None if its steps are Euler's.

    Raises:
        InputError: The model samples with another sampler than Euler's.
    """
    if replaced is not None:
        raise InputError(
            f"{model} samples with {replaced}, and starting plans were measured for Euler's steps "
            f"alone: calibrate and solve for it, or sample with {EULER}"
        )


def _identity(name: str, **known: Any) -> ModelIdentity:
    nothing = {"revision": None, "fingerprint": None, "pipeline": None, "scheduler": None}
    return ModelIdentity(id=name, adapters=(), **(nothing | known))


def _read(file: Path) -> dict[str, Any]:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{file}: cannot be read as JSON ({error}): mend it") from error
