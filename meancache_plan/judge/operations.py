"""What a run's operations take, counted one by one: FLOPs, and memory of tensors."""

import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, UntypedStorage
from torch._C import DispatchKey
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

_FRESH = torch.ops.aten.lift_fresh.default
"""What ``torch.tensor`` of numbers ends with: the only operation on that tensor, which is new."""


class Operations(TorchDispatchMode):
    """The account of a device that keeps none, and FLOPs, of all operations under this mode.

    FLOPs are those of products of matrices, convolutions and attention, by torch's own formulas:
    what ``torch.utils.flop_counter.FlopCounterMode`` says, which takes longer to tell modules
    apart as well. A tensor counts with its whole storage from its making until nothing refers to
    that; views count as nothing. What a kernel takes for itself while it runs is not seen, nor
    what other threads do.

    Attributes:
        flops: So far.
    """

    def __init__(self) -> None:
        super().__init__()
        self.flops = 0
        self._alive: dict[int, tuple[int, weakref.ref[UntypedStorage]]] = {}
        self._bytes = self._before = self._most = 0

    def begin(self) -> None:
        """Count memory from here on."""
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
        """Run an operation, or those that it is made of, and count it."""
        kwargs = kwargs or {}
        if _is_composite(func):
            with self:
                return func.decompose(*args, **kwargs)
        given = () if func is _FRESH else {id(each) for each in _storages(args, kwargs.values())}
        made = func(*args, **kwargs)
        formula = _formula(func)
        if formula is not None:
            self.flops += formula(*args, **kwargs, out_val=made)
        for storage in _storages(made):
            if id(storage) in self._alive or id(storage) not in given:
                self._count(storage)
        return made

    def _count(self, storage: UntypedStorage) -> None:
        """Note the size of a storage that is new, or may have another size than before."""
        key, size = id(storage), storage.nbytes()
        before, watch = self._alive.get(key, (0, None))
        watch = watch or weakref.ref(storage, partial(self._forget, key))
        self._alive[key] = size, watch
        self._bytes += size - before
        self._most = max(self._most, self._bytes)

    def _forget(self, key: int, _: weakref.ref[UntypedStorage]) -> None:
        size, _ = self._alive.pop(key)
        self._bytes -= size


def _storages(*values: Any) -> Iterator[UntypedStorage]:
    """Of all tensors in these, but for sparse and opaque ones, which have none."""
    for value in values:
        if isinstance(value, Tensor):
            if value.layout is torch.strided:
                yield value.untyped_storage()
        elif isinstance(value, list | tuple):
            yield from _storages(*value)


@cache
def _is_composite(operation: Any) -> bool:
    """Whether it comes to be others, which it does here in inference mode.

    Questions for a tensor's size and the like are not: those may come to be themselves.
    """
    makes_tensors = any("Tensor" in str(made.type) for made in operation._schema.returns)
    composite = DispatchKey.CompositeImplicitAutograd
    return makes_tensors and operation.has_kernel_for_dispatch_key(composite)


@cache
def _formula(operation: Any) -> Callable[..., int] | None:
    """The FLOPs of an operation, by what it is given and what it made: ``out_val``."""
    found = flop_registry.get(operation.overloadpacket)
    on_cpu = getattr(torch.ops.aten, "_scaled_dot_product_flash_attention_for_cpu", None)
    return _attention if operation.overloadpacket is on_cpu else found


def _attention(query: Tensor, key: Tensor, *_: Any, **__: Any) -> int:
    """FLOPs of Q·Kᵀ and of its product with V: 2 · 2·b·h·q·k·d; torch has no formula on a CPU."""
    batch, heads, queries, width = query.shape
    return 4 * batch * heads * queries * key.shape[2] * width
