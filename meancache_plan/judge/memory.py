"""How much memory a denoising loop takes beyond what was there when it began."""

import weakref
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, UntypedStorage
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_FRESH = torch.ops.aten.lift_fresh.default
"""What ``torch.tensor`` of numbers ends with: the only operation on that tensor, which is new."""


class Account(Protocol):
    """Of the memory that is in use on a device."""

    def begin(self) -> None:
        """Count from here on."""

    def peak(self) -> int:
        """The most bytes in use at once since then, beyond what was in use at :meth:`begin`."""
        ...


class Allocator:
    """The account that CUDA's caching allocator keeps."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._before = 0

    def begin(self) -> None:
        """Count from here on."""
        torch.cuda.reset_peak_memory_stats(self._device)
        self._before = torch.cuda.memory_allocated(self._device)

    def peak(self) -> int:
        """The most bytes allocated at once since then, beyond those of before."""
        return torch.cuda.max_memory_allocated(self._device) - self._before


class Tensors(TorchDispatchMode):
    """The account of a device that keeps none: the tensors that operations make under this mode.

    A tensor counts with its whole storage from its making until nothing refers to that; views
    count as nothing. What a kernel takes for itself while it runs is not seen, nor what other
    threads make.
    """

    def __init__(self) -> None:
        super().__init__()
        self._alive: dict[int, int] = {}
        self._bytes = self._before = self._most = 0

    def begin(self) -> None:
        """Count from here on."""
        self._before = self._most = self._bytes

    def peak(self) -> int:
        """The most bytes of tensors alive at once since then, beyond those of before."""
        return self._most - self._before

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run an operation, and count what it made."""
        kwargs = kwargs or {}
        given = () if func is _FRESH else {id(storage) for storage in _storages((args, kwargs))}
        made = func(*args, **kwargs)
        for storage in _storages(made):
            if id(storage) in self._alive or id(storage) not in given:
                self._count(storage)
        return made

    def _count(self, storage: UntypedStorage) -> None:
        """Note the size of a storage that is new, or may have another size than before."""
        key, size = id(storage), storage.nbytes()
        if key not in self._alive:
            weakref.finalize(storage, self._forget, key).atexit = False
        self._bytes += size - self._alive.get(key, 0)
        self._alive[key] = size
        self._most = max(self._most, self._bytes)

    def _forget(self, key: int) -> None:
        self._bytes -= self._alive.pop(key)


def _storages(value: Any) -> Iterator[UntypedStorage]:
    """Of all tensors in a nest of containers, but for sparse and opaque ones, which have none."""
    for leaf in tree_leaves(value):
        if isinstance(leaf, Tensor) and leaf.layout is torch.strided:
            yield leaf.untyped_storage()
