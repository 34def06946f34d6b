"""What is noted of a pipeline: weights, hub commit, LoRA adapters, how its samples are made."""

import hashlib
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from meancache_plan.errors import InputError
from meancache_plan.schedule.artifact import AdapterIdentity, Generation, ModelIdentity
from meancache_plan.source.recipe import Recipe
from meancache_runtime.annotations import Value
from meancache_runtime.call_settings import guidance, negative, noted
from meancache_runtime.hosts.diffusers import identity
from meancache_runtime.hosts.diffusers.adapters import adapters_in_effect
from meancache_runtime.hosts.diffusers.guiders import defaults, guider_settings
from meancache_runtime.hosts.diffusers.precision import attention, quantisation
from meancache_runtime.strict_json import MAX_ITEMS


def origin(pipe: Any, loaded_from: str) -> tuple[str, str | None]:
    """The name of a model, and what tells its versions apart, by a directory or hub id."""
    if Path(loaded_from).is_dir():
        folder = Path(loaded_from).resolve()
        return folder.name, weights_revision(folder)
    return loaded_from, hub_commit(pipe)


def model_identity(pipe: Any, name: str, commit: str | None) -> ModelIdentity:
    """What a schedule for a model of this name says to recognise it."""
    return ModelIdentity(
        id=name,
        revision=commit,
        fingerprint=identity.fingerprint(pipe),
        pipeline=type(pipe).__name__,
        scheduler=type(pipe.scheduler).__name__,
        adapters=tuple(
            AdapterIdentity(name=adapter.name, digest=adapter.digest)
            for adapter in adapters_in_effect(pipe)
        ),
    )


def generation(pipe: Any, recipe: Recipe, arguments: Mapping[str, Any]) -> Generation:
    """How samples are made, as far as it is known before a run."""
    chosen = {} if recipe.guidance is None else {recipe.guidance_argument: recipe.guidance}
    return Generation(
        height=recipe.height,
        width=recipe.width,
        frames=recipe.frames,
        guidance=guidance(arguments) | chosen,
        dtype=recipe.dtype,
        negative_prompt=bool(negative(arguments)),
        attention=attention(pipe),
        quantisation=quantisation(pipe),
        settings=_settings(pipe, arguments),
    )


def _settings(pipe: Any, arguments: Mapping[str, Any]) -> dict[str, Value]:
    """What else steers the samples. InputError if it is more than a schedule can say."""
    found = noted(arguments, defaults(pipe)) | guider_settings(pipe)
    if len(found) > MAX_ITEMS:
        raise InputError(
            f"the call has {len(found)} settings, and a schedule notes {MAX_ITEMS} at most: leave "
            "out those that are the pipeline's own defaults"
        )
    return found


def scheduler_config(pipe: Any) -> dict[str, Any]:
    """A scheduler's public configuration; an infinite number, which JSON has not, as text."""
    config = dict(pipe.scheduler.config)
    return {k: _finite(v) for k, v in sorted(config.items()) if not k.startswith("_")}


def _finite(value: Any) -> Any:
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def weights_revision(folder: Path) -> str:
    """Tell trainings of a local model apart: SHA-256 over its weight files' names, sizes and ends.

    Of each file the first and last MiB count: enough, as training changes every tensor.
    """
    total = hashlib.sha256()
    for file in sorted(folder.rglob("*")):
        if file.suffix in (".safetensors", ".bin"):
            size = file.stat().st_size
            with file.open("rb") as stream:
                head = stream.read(1 << 20)
                stream.seek(max(0, size - (1 << 20)))
                tail = stream.read()
            total.update(f"{file.relative_to(folder).as_posix()} {size}\n".encode() + head + tail)
    return f"weights-sha256:{total.hexdigest()}"


def hub_commit(pipe: Any) -> str | None:
    """The commit of the hub snapshot that a pipeline's denoiser was loaded from."""
    for module in identity.denoisers(pipe).values():
        found = re.search(r"snapshots[/\\]([0-9a-f]{40})", str(module.config.get("_name_or_path")))
        if found is not None:
            return found[1]
    return None
