"""The arguments of a pipeline's call, for one sample or for a batch of them."""

import re
from collections.abc import Sequence
from typing import Any

import torch

from meancache_plan.recipe import Recipe

TEXT = re.compile(r"(negative_)?prompt(_\d)?")
"""Names of the arguments that hold one text a sample."""


def arguments(recipe: Recipe) -> dict[str, Any]:
    """The pipeline's keyword arguments that a recipe fixes; what it leaves open is not passed."""
    fixed = {
        "height": recipe.height,
        "width": recipe.width,
        "num_frames": recipe.frames,
        recipe.guidance_argument: recipe.guidance,
        "negative_prompt": recipe.negative_prompt,
    }
    return {k: v for k, v in fixed.items() if v is not None} | dict(recipe.call)


def repeated(fixed: dict[str, Any], count: int) -> dict[str, Any]:
    """The arguments of a batched call: a text that goes beside the prompt goes with each one."""
    return {
        name: [value] * count if isinstance(value, str) and TEXT.fullmatch(name) else value
        for name, value in fixed.items()
    }


def generators(seed: int | Sequence[int]) -> Any:
    """The generator of the initial noise, on the CPU; a list of them for a list of seeds."""
    if isinstance(seed, Sequence):
        return [torch.Generator("cpu").manual_seed(each) for each in seed]
    return torch.Generator("cpu").manual_seed(seed)
