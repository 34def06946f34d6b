"""How refinement deals an ensemble's samples out, and how far off their final latents are."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from meancache_plan.errors import InputError
from meancache_plan.source.protocols import Ensemble

T = TypeVar("T")


def spread_rows(prompt_index: NDArray[np.int64], parts: int = 2) -> list[list[int]]:
    """Deal the rows out into ``parts`` by prompt: no prompt is in two of them.

    Raises:
        InputError: There are fewer prompts than parts.
    """
    prompts = np.unique(prompt_index)
    if len(prompts) < parts:
        raise InputError(
            f"prompts: {len(prompts)}, too few for {parts} parts that share none: refine with "
            "more calibration prompts"
        )
    place = {prompt: i % parts for i, prompt in enumerate(prompts.tolist())}
    return [
        [row for row, prompt in enumerate(prompt_index.tolist()) if place[prompt] == part]
        for part in range(parts)
    ]


def evenly(items: Sequence[T], count: int) -> list[T]:
    """So many of them, evenly over the list; all if there are no more."""
    count = min(count, len(items))
    return [items[i * len(items) // count] for i in range(count)]


def final_errors(ensemble: Ensemble, rows: Sequence[int], latents: Tensor) -> NDArray[np.float64]:
    """Mean squared error of final latents against the full runs', float64 [n]; ∞ if not finite."""
    off = latents.double() - ensemble.full(rows, len(ensemble.sigmas) - 1).double()
    squares = off.flatten(1).square().mean(dim=1)
    return torch.nan_to_num(squares, nan=torch.inf, posinf=torch.inf).cpu().numpy()
