"""Read a few values of many weights, wherever offloading keeps them, in one transfer a device."""

import ctypes
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

SAMPLED = 128
"""How many values of a weight's first row and first column are read, at most."""

READABLE = (torch.bfloat16, torch.float16, torch.float32, torch.float64)
"""Types whose values are the weight's own, not those of a quantisation."""


def group_offloaded(modules: Iterable[Any]) -> dict[int, Tensor | None]:
    """Where the values are of weights that diffusers' group offloading keeps elsewhere.

    Returns:
        ``id`` of each such weight of the modules → its copy in memory, or None if it is on disk.
    """
    kept: dict[int, Tensor | None] = {}
    for module in modules:
        registry = vars(module).get("_diffusers_hook")
        for hook in getattr(registry, "hooks", {}).values():
            group = getattr(hook, "group", None)
            copies = getattr(group, "cpu_param_dict", {})
            kept.update((id(weight), copy) for weight, copy in copies.items())
            if getattr(group, "offload_to_disk_path", None) is not None:
                kept.update((id(weight), None) for weight in getattr(group, "tensor_to_key", ()))
    return kept


def readable(
    owner: Any, name: str, weight: Tensor, kept: Mapping[int, Tensor | None]
) -> Tensor | None:
    """A tensor with the values of ``owner``'s weight ``name``; None if they cannot be read.

    Args:
        owner: The module whose own parameter it is.
        name: The parameter's name in it.
        weight: The parameter; on the meta device under accelerate's sequential offloading.
        kept: What :func:`group_offloaded` returns.
    """
    found = kept.get(id(weight), weight)
    if found is not None and found.is_meta:
        found = _sequentially_offloaded(owner, name)
    if found is None or found.dtype not in READABLE or found.is_meta:
        return None
    plain = found.detach()
    return plain if type(plain) is Tensor else None


def _sequentially_offloaded(owner: Any, name: str) -> Tensor | None:
    """A weight from the map that accelerate's hooks fetch it from."""
    hook = vars(owner).get("_hf_hook")
    for part in getattr(hook, "hooks", (hook,)):
        weights: Mapping[str, Tensor] | None = getattr(part, "weights_map", None)
        if weights is not None:
            return weights.get(name)
    return None


class Sample(NamedTuple):
    """Values of one weight, bfloat16, little-endian: of its first row and its first column.

    Of each :data:`SAMPLED` values at most, zeros at the end left out, so that a matrix that is
    padded with zeros to a higher rank gives the same.
    """

    row: bytes
    column: bytes


def samples(weights: Sequence[Tensor]) -> list[Sample]:
    """Read a sample of each weight.

    Args:
        weights: Tensors of any shape, floating type and device. Of [n, …] the first row are the
            values at [0, …], the first column those at [:, 0, …, 0].
    """
    lines = [line for weight in weights for line in _lines(weight)]
    batches: defaultdict[Any, list[int]] = defaultdict(list)
    for place, line in enumerate(lines):
        batches[line.device, line.dtype].append(place)
    found: dict[int, bytes] = {}
    for places in batches.values():
        found.update(zip(places, _fetch([lines[place] for place in places]), strict=True))
    return [Sample(found[2 * i], found[2 * i + 1]) for i in range(len(weights))]


def _lines(weight: Tensor) -> tuple[Tensor, Tensor]:
    if weight.numel() == 0 or weight.ndim == 0:
        line = weight.reshape(-1)
        return line, line
    column = weight[(slice(None, SAMPLED), *[0] * (weight.ndim - 1))]
    return weight[0].reshape(-1)[:SAMPLED], column


def _fetch(lines: Sequence[Tensor]) -> Iterable[bytes]:
    """Bytes of vectors of one device and type."""
    joined = torch.cat(list(lines)).to(torch.bfloat16).cpu()
    whole = ctypes.string_at(joined.data_ptr(), joined.nbytes)
    start = 0
    for line in lines:
        end = start + 2 * line.numel()
        values = whole[start:end].rstrip(b"\0")
        yield values + b"\0" * (len(values) % 2)
        start = end
