"""Which adapters are in effect in a pipeline, each with a digest of what it adds.

LoRA and its kin, IP-Adapters and ControlNets. Nothing is imported from peft or diffusers: peft's
layers are known by their attributes, those of its ``BaseTunerLayer``, an IP-Adapter's attention
processors by their class's name. The digest is specified in ``schedules/README.md``.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ...schedule import Adapter
from .identity import companions, denoisers
from .weights import Sample, group_offloaded, readable, samples

IP_ADAPTER, IP_PROCESSOR = "IP-Adapter", "IPAdapter"
"""What one is called, and a part of the names of its attention processors' classes."""

CONTROLNET = "ControlNet"


@dataclass(frozen=True, slots=True)
class _Part:
    """What one adapter adds to one layer: None where a weight cannot be read."""

    adapter: str
    place: str
    scaling: float | None
    weights: dict[str, Tensor | None]

    @property
    def readable(self) -> bool:
        return self.scaling is not None and all(w is not None for w in self.weights.values())


def adapters_in_effect(pipe: Any) -> tuple[Adapter, ...]:
    """The adapters in effect in the denoisers, by name: active ones, or where some are fused those.

    Adapters of text encoders do not count: they change what a prompt says, as other words do.
    The digest of one is None if a weight of it cannot be read: it was unloaded after fusing, is
    offloaded to disk, or quantised. Two may have the same name: one fused and unloaded, one loaded
    after it.
    """
    parts: list[_Part] = []
    for component, denoiser in denoisers(pipe).items():
        modules = _modules(denoiser)
        layers = {p: m for p, m in modules.items() if hasattr(type(m), "adapter_layer_names")}
        pictures = {p: m for p, m in modules.items() if IP_PROCESSOR in type(m).__name__}
        kept = group_offloaded(modules.values()) if layers or pictures else {}
        for path, layer in layers.items():
            parts += _parts(f"{component}.{path}", layer, kept)
        for path, processor in pictures.items():
            parts += _picture_parts(f"{component}.{path}", processor, kept)
    for component, companion in companions(pipe).items():
        parts += _companion_parts(component, _modules(companion))
    found = [Adapter(name, digest) for name, digest in _digests(parts).items()]
    found += [Adapter(name, None) for name in _fused_and_gone(pipe)]
    return tuple(sorted(found, key=lambda adapter: adapter.name))


def _picture_parts(
    place: str, processor: Any, kept: Mapping[int, Tensor | None]
) -> Iterator[_Part]:
    """What each IP-Adapter adds to an attention, of which one processor may hold several."""
    scale: Any = processor.scale
    several = isinstance(scale, list)
    scales: Sequence[float] = scale if several else [scale]
    weights = {
        ".".join(filter(None, (path, key))): readable(owner, key, weight, kept)
        for path, owner in processor.named_modules()
        for key, weight in owner.named_parameters(recurse=False)
    }
    for number, scaling in enumerate(scales):
        own = {n: w for n, w in weights.items() if not several or f".{number}." in n}
        if scaling != 0 and own:
            name = f"{IP_ADAPTER} {number + 1}" if number else IP_ADAPTER
            yield _Part(name, place, float(scaling), own)


def _companion_parts(component: str, modules: Mapping[str, Any]) -> Iterator[_Part]:
    """What a ControlNet adds: all of its layers."""
    kept = group_offloaded(modules.values())
    for path, module in modules.items():
        weights = {
            key: readable(module, key, weight, kept)
            for key, weight in module.named_parameters(recurse=False)
        }
        if weights:
            yield _Part(CONTROLNET, f"{component}.{path}", 1.0, weights)


def _fused_and_gone(pipe: Any) -> set[str]:
    """Names of adapters that were fused, as the pipeline says, and that no layer holds fused."""
    names: set[str] = set(getattr(pipe, "fused_loras", ()))
    components = [*vars(pipe).values(), *denoisers(pipe).values()] if names else []
    for component in components:
        for module in _modules(component).values():
            names.difference_update(getattr(module, "merged_adapters", ()))
    return names


def _modules(denoiser: Any) -> dict[str, Any]:
    """The modules in a denoiser by path, without what ``torch.compile`` puts into paths."""
    named = denoiser.named_modules() if hasattr(denoiser, "named_modules") else ()
    return {
        ".".join(part for part in path.split(".") if part != "_orig_mod"): module
        for path, module in named
    }


def _containers(layer: Any) -> Iterator[tuple[str, Any]]:
    """An adapter layer's mappings of adapter names to weights, by their own name."""
    for name in layer.adapter_layer_names:
        container = getattr(layer, name, None)
        if hasattr(container, "keys"):
            yield name, container


def _parts(place: str, layer: Any, kept: Mapping[int, Tensor | None]) -> Iterator[_Part]:
    """What each adapter in effect adds to this layer."""
    for adapter in _in_effect(layer):
        weights = {
            name: readable(owner, key, weight, kept)
            for name, owner, key, weight in _weights(layer, adapter)
        }
        scaling = _scaling(layer, adapter)
        if weights and (scaling != 0 or _counts_at_0(layer, weights)):
            yield _Part(adapter, place, scaling, weights)


def _counts_at_0(layer: Any, names: Iterable[str]) -> bool:
    """Whether an adapter adds something though its scaling is 0: it is fused, or has magnitudes."""
    return bool(getattr(layer, "merged_adapters", ())) or any("magnitude" in name for name in names)


def _in_effect(layer: Any) -> Iterable[str]:
    """Names of the adapters that a call of the layer adds: fused ones keep out the active."""
    if getattr(layer, "disable_adapters", False) is True:
        return ()
    names = getattr(layer, "merged_adapters", ()) or layer.active_adapters
    return dict.fromkeys([names] if isinstance(names, str) else names)


def _weights(layer: Any, adapter: str) -> Iterator[tuple[str, Any, str, Tensor]]:
    """An adapter's weights in a layer: name, owner, name in the owner, and the parameter."""
    for kind, container in _containers(layer):
        if adapter not in container:
            continue
        entry = container[adapter]
        if isinstance(entry, Tensor):
            yield kind, container, adapter, entry
            continue
        for path, owner in entry.named_modules():
            for key, weight in owner.named_parameters(recurse=False):
                yield ".".join(filter(None, (kind, path, key))), owner, key, weight


def _scaling(layer: Any, adapter: str) -> float | None:
    """By what an adapter's weights are multiplied in a layer, its scale included."""
    scalings: Any = getattr(layer, "scaling", None)
    try:
        return float(scalings.get(adapter, 1.0) if hasattr(scalings, "get") else 1.0)
    except (RuntimeError, TypeError, ValueError):
        return None


def _digests(parts: Sequence[_Part]) -> dict[str, str | None]:
    """Digest of each adapter by name; all weights are read at once."""
    known = [part for part in parts if part.readable]
    read = iter(samples([w for part in known for w in part.weights.values() if w is not None]))
    values = {id(part): dict(zip(part.weights, read, strict=False)) for part in known}
    digests: dict[str, str | None] = {}
    for adapter in dict.fromkeys(part.adapter for part in parts):
        its = [part for part in parts if part.adapter == adapter]
        whole = all(part.readable for part in its)
        digests[adapter] = _digest([(part, values[id(part)]) for part in its]) if whole else None
    return digests


def _digest(parts: Sequence[tuple[_Part, dict[str, Sample]]]) -> str:
    """SHA-256 of an adapter's parts; one whose samples are all empty adds nothing."""
    total = hashlib.sha256()
    for part, values in sorted(parts, key=lambda entry: entry[0].place):
        if not any(sample.row or sample.column for sample in values.values()):
            continue
        total.update(f"{part.place} {part.scaling:.6g}\n".encode())
        for name, sample in sorted(values.items()):
            total.update(f"{name} {len(sample.row)} {len(sample.column)}\n".encode())
            total.update(sample.row + sample.column)
    return f"sha256:{total.hexdigest()}"
