"""The batch size of a denoiser's call, and a kept output made to fit another.

Pipelines that guide at some steps only (in one batched call, with and without the prompt) call
their denoiser with two sizes. What answers a cached step is ignored there, but it must have the
right shape on its way.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import torch
from torch import Tensor


def batch_size(args: tuple[Any, ...], kwargs: dict[str, Any]) -> int | None:
    """Samples in a denoiser's call: the length of its first tensor, or list; None without one."""
    for value in (*args, *kwargs.values()):
        if isinstance(value, list) or (isinstance(value, Tensor) and value.ndim > 0):
            return len(value)
    return None


def passes(sizes: Iterable[int | None], samples: int) -> int | None:
    """How often each of so many samples goes through the denoiser in calls of these sizes.

    None where that cannot be told from them.

    Example:
        >>> passes([2, 2], 2), passes([4], 2), passes([3], 2)
        (2, 2, None)
    """
    known = list(sizes)
    total = sum(size or 0 for size in known)
    if None in known or total == 0 or samples == 0 or total % samples:
        return None
    return total // samples


def fit(output: Any, had: int | None, wanted: int | None) -> Any:
    """An output for ``had`` samples, cropped or repeated to ``wanted``.

    Tensors are fitted along dimension 0, lists by their length, if that is ``had``; tuples and
    mappings (diffusers' outputs) by their items. All else, and an output that fits, is returned
    as it is.

    Example:
        >>> fit((torch.ones(1, 4),), 1, 2)[0].shape
        torch.Size([2, 4])
    """
    if had == wanted or not had or not wanted:
        return output
    match output:
        case Tensor() if output.ndim > 0 and len(output) == had:
            return output[torch.arange(wanted, device=output.device) % had]
        case list() if len(output) == had:
            return list(islice(_repeated(output), wanted))
        case tuple() if type(output) is tuple:
            return tuple(fit(item, had, wanted) for item in output)
        case dict():
            return type(output)(**{k: fit(item, had, wanted) for k, item in output.items()})
        case _:
            return output


def _repeated(items: list[Any]) -> Iterator[Any]:
    while True:
        yield from items
