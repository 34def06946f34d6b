"""How a pipeline's denoisers compute: in what dtype, with what attention, how quantised."""

import sys
from collections.abc import Callable, Iterator
from typing import Any

import torch

from .identity import denoisers
from .weights import READABLE

NOT_QUANTISED = "none"

KERNELS = ("flash", "mem_efficient", "math")
"""Those of PyTorch's own attention, all of them allowed unless somebody says otherwise."""


def precision(pipe: Any) -> dict[str, str | None]:
    """What a schedule compares of it, by the names of its ``generation``."""
    return {
        "dtype": dtype(pipe),
        "attention": attention(pipe),
        "quantisation": quantisation(pipe),
    }


def dtype(pipe: Any) -> str | None:
    """The dtype that the denoisers compute in, as far as they say; None if they do not."""
    return _joined(
        pipe, lambda denoiser: (_autocast(denoiser) or getattr(denoiser, "dtype", None),)
    )


def _autocast(denoiser: Any) -> Any:
    """What autocast makes of the denoiser's numbers here and now."""
    kind = getattr(getattr(denoiser, "device", None), "type", None)
    if kind in (None, "meta") or not torch.is_autocast_enabled(kind):
        return None
    return torch.get_autocast_dtype(kind)


def attention(pipe: Any) -> str | None:
    """The backends of the denoisers' attention, or the processors that know none."""
    return _joined(pipe, _backends)


def quantisation(pipe: Any) -> str | None:
    """How the denoisers' weights are kept if not as floating numbers; ``"none"`` otherwise."""
    return _joined(pipe, _kinds) or NOT_QUANTISED


def _joined(pipe: Any, told: Callable[[Any], Any]) -> str | None:
    """What the denoisers tell, each once."""
    found = {each for denoiser in denoisers(pipe).values() for each in told(denoiser)}
    names = sorted(str(each).removeprefix("torch.") for each in found if each is not None)
    return ", ".join(names) or None


def _backends(denoiser: Any) -> Iterator[str | None]:
    modules = denoiser.modules() if hasattr(denoiser, "modules") else ()
    for processor in (getattr(module, "processor", None) for module in modules):
        if processor is None:
            continue
        if not hasattr(processor, "_attention_backend"):
            yield type(processor).__name__.replace("Fused", "")
            continue
        backend = processor._attention_backend or _active()
        name = getattr(backend, "value", backend)
        yield f"{name}{_kernels()}" if name == "native" else name


def _active() -> Any:
    """diffusers' own backend where a processor has none: by its environment or context manager."""
    dispatch = sys.modules.get("diffusers.models.attention_dispatch")
    registry = getattr(dispatch, "_AttentionBackendRegistry", None)
    return None if registry is None else registry.get_active_backend()[0]


def _kernels() -> str:
    """Which kernels PyTorch may choose from, where these are not all."""
    allowed = [name for name in KERNELS if getattr(torch.backends.cuda, f"{name}_sdp_enabled")()]
    return "" if len(allowed) == len(KERNELS) else f" ({', '.join(allowed) or 'none'})"


def _kinds(denoiser: Any) -> Iterator[str]:
    """Layers that keep quantised weights, weights of a class of their own, or else their dtypes."""
    for layer in denoiser.modules() if hasattr(denoiser, "modules") else ():
        if type(layer).__module__.startswith("torch.ao.nn"):
            yield f"{type(layer).__module__.split('.modules')[0]}.{type(layer).__name__}"
    for weight in denoiser.parameters() if hasattr(denoiser, "parameters") else ():
        cls = type(weight.data)
        if cls.__module__.startswith("torch.distributed"):  # a share of a plain one
            continue
        if cls.__name__ not in ("Tensor", "Parameter"):
            yield cls.__name__
        elif weight.dtype not in READABLE:
            yield str(weight.dtype)
