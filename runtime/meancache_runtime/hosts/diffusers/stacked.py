"""Another cache at work inside a pipeline's denoisers."""

from collections.abc import Iterator
from typing import Any

from ...errors import StackedCacheError
from .identity import denoisers

EXACT = ("TextKVCacheConfig", "text_kv_cache")
"""Caches of diffusers that change no velocity, by configuration or hook: they may stay."""

HOOKS = ("cache", "fbc_", "pyramid_attention_broadcast")
"""Parts of the names of the hooks of all others."""

FLAGS = ("_is_cached", "enable_teacache", "enable_magcache")
"""What caches from elsewhere (cache-dit, ParaAttention, TeaCache, MagCache) set on a model."""


def check_alone(pipe: Any) -> None:
    """Refuse a pipeline in which another cache answers calls too. Raises StackedCacheError."""
    for name, denoiser in denoisers(pipe).items():
        check_none_enabled(name, denoiser)
        _refuse(name, _hooked(denoiser))


def check_none_enabled(name: str, denoiser: Any) -> None:
    """As :func:`check_alone`, but by what a denoiser itself says: cheap enough for every call."""
    _refuse(name, _enabled(denoiser))


def _refuse(name: str, caches: Iterator[str]) -> None:
    for found in caches:
        raise StackedCacheError(
            f"{found} answers some of the work in pipe.{name} too, and takes the knots for all "
            f"steps: turn it off (pipe.{name}.disable_cache(), if diffusers' own), or run "
            "without the schedule"
        )


def _enabled(denoiser: Any) -> Iterator[str]:
    config = getattr(denoiser, "_cache_config", None)
    if config is not None and type(config).__name__ not in EXACT:
        yield type(config).__name__.removesuffix("Config")
    yield from (flag.strip("_") for flag in FLAGS if getattr(denoiser, flag, False) is True)


def _hooked(denoiser: Any) -> Iterator[str]:
    for module in denoiser.modules() if hasattr(denoiser, "modules") else ():
        registry = vars(module).get("_diffusers_hook")
        for hook in getattr(registry, "hooks", ()):
            if any(part in hook for part in HOOKS) and not hook.startswith(EXACT):
                yield hook.strip("_")
