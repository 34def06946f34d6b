"""Recognise a pipeline: what a schedule was compiled for, and whether it fits."""

import hashlib
import inspect
import json
import os
from collections.abc import Mapping
from functools import partial
from typing import Any

from ...errors import ModelMismatchError, UnsupportedPipelineError
from ...schedule import Model

DENOISERS = ("transformer", "transformer_2", "unconditional_transformer", "unet")
"""Names of the components that diffusers pipelines call once or more a sampler step."""

Configured = Mapping[str, tuple[type, Mapping[str, Any]]]
"""Denoisers by component name: a class of diffusers, and a configuration of it."""

FSDP = ("FSDPModule", "FullyShardedDataParallel")
"""PyTorch's classes of modules whose weights processes share."""

COMPANIONS = ("controlnet",)
"""Names of components whose output only the denoisers of the same step read."""


def denoisers(pipe: Any) -> dict[str, Any]:
    """The pipeline's denoisers by component name.

    Raises:
        UnsupportedPipelineError: The pipeline has no denoiser, or no scheduler.
    """
    found = {name: getattr(pipe, name, None) for name in DENOISERS}
    found = {name: module for name, module in found.items() if module is not None}
    if not found or getattr(pipe, "scheduler", None) is None:
        raise UnsupportedPipelineError(
            f"{type(pipe).__name__} has no scheduler, or none of {', '.join(DENOISERS)}: give a "
            "diffusers pipeline, or use meancache_runtime.integrate with your own loop"
        )
    return found


def check_samples_itself(pipe: Any) -> None:
    """Refuse a pipeline that samples where nothing is intercepted.

    Raises:
        UnsupportedPipelineError: It holds pipelines of its own, or another scheduler.
    """
    parts = {name: part for name, part in vars(pipe).items() if part is not None}
    inner = [name for name, part in parts.items() if _is_pipeline(part)]
    if inner:
        raise UnsupportedPipelineError(
            f"{type(pipe).__name__} samples through pipelines of its own: attach to "
            f"{', '.join(f'pipe.{name}' for name in inner)}, to each with its own schedule"
        )
    others = [name for name in parts if name.endswith("_scheduler")]
    if others:
        raise UnsupportedPipelineError(
            f"{type(pipe).__name__} samples with pipe.{others[0]} too, which would not follow the "
            f"schedule: set pipe.{others[0]} = None if the pipeline then uses pipe.scheduler for "
            "both, or run it without a schedule"
        )


def _is_pipeline(part: Any) -> bool:
    has = partial(hasattr, part)
    return callable(part) and has("scheduler") and any(map(has, DENOISERS))


def companions(pipe: Any) -> dict[str, Any]:
    """The components by name that need not run where the denoisers do not."""
    return {name: vars(pipe)[name] for name in COMPANIONS if vars(pipe).get(name) is not None}


def fingerprint(pipe: Any) -> str:
    """``sha256:…`` of the denoisers' classes and configurations, as schedules/README.md says.

    Only settings that differ from their class's defaults count, so that it survives saving,
    loading, compiling, LoRA and new library versions; weights and precision do not enter.
    """
    return digest(_configured(pipe))


def kind(pipe: Any) -> str:
    """``class:…``, the denoisers' class names: a fingerprint where the settings are not known."""
    return class_names(_configured(pipe))


def digest(models: Configured) -> str:
    """As :func:`fingerprint`, of denoisers that need not have been loaded."""
    description = {name: [cls.__name__, _settings(cls, c)] for name, (cls, c) in models.items()}
    text = json.dumps(description, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def class_names(models: Configured) -> str:
    """As :func:`kind`, of denoisers that need not have been loaded."""
    return "class:" + "+".join(cls.__name__ for cls, _ in models.values())


def _configured(pipe: Any) -> Configured:
    found = {name: _unwrapped(module) for name, module in denoisers(pipe).items()}
    return {name: (_own_class(m), dict(getattr(m, "config", {}))) for name, m in found.items()}


def _unwrapped(module: Any) -> Any:
    """The module that ``torch.compile(module)`` wraps, FSDP1, or PEFT's ``get_peft_model``."""
    for name in ("_orig_mod", "_fsdp_wrapped_module"):
        module = getattr(module, name, module)
    return module.get_base_model() if hasattr(module, "get_base_model") else module


def _own_class(module: Any) -> type:
    """A module's class; FSDP2 puts one of its own before it."""
    return next(cls for cls in module.__class__.__mro__ if not is_of_fsdp(cls))


def is_of_fsdp(cls: type) -> bool:
    """Whether processes share the weights of modules of this class."""
    return any(base.__name__ in FSDP for base in cls.__mro__)


def _settings(cls: type, config: Mapping[str, Any]) -> dict[str, Any]:
    """A model's public configuration without the values that are its class's defaults."""
    parameters = inspect.signature(cls.__init__).parameters
    defaults = {name: _plain(p.default) for name, p in parameters.items()}
    return {
        key: value
        for key, value in _plain(config).items()
        if not key.startswith("_")
        and key != "quantization_config"
        and not (key in defaults and defaults[key] == value)
    }


def _plain(value: Any) -> Any:
    """As JSON would give it back: tuples are lists, and what JSON has not is its text."""
    return json.loads(json.dumps(value, default=str))


def hub_id(pipe: Any) -> str | None:
    """The hub id (``owner/name``) that a pipeline was loaded from, if it was."""
    name = getattr(pipe, "name_or_path", None)
    if not isinstance(name, str) or name.count("/") != 1 or os.path.exists(name):
        return None
    return None if name.startswith((".", "/", "~")) else name


def check_model(pipe: Any, model: Model) -> None:
    """Refuse a pipeline that is not the one that the schedule was compiled for.

    Raises:
        ModelMismatchError: Another denoiser configuration, or another hub id.
    """
    here = hub_id(pipe)
    if model.fingerprint is not None and model.fingerprint not in (fingerprint(pipe), kind(pipe)):
        raise ModelMismatchError(
            f"the schedule was compiled for {model.id} ({model.pipeline}); this "
            f"{type(pipe).__name__} has another denoiser: load that model, or run "
            "`meancache-plan calibrate` and `solve` for this one"
        )
    if here is not None and model.id.count("/") == 1 and here != model.id:
        raise ModelMismatchError(
            f"the schedule was compiled for {model.id}, but this pipeline is {here}: use that "
            "model's schedule, or run `meancache-plan calibrate` and `solve` for this one; to "
            "try it all the same, attach dataclasses.replace(schedule, model=None)"
        )
