"""The arguments of a pipeline's call, for one sample or for a batch of them."""

import inspect
import re
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from meancache_plan.source.picture import name_and_digest, read_picture
from meancache_plan.source.recipe import Recipe

TEXT = re.compile(r"(negative_)?prompt(_\d)?")
"""Names of the arguments that hold one text per sample."""

NO_LATENTS = ("QwenImageLayeredPipeline",)
"""Pipelines that fail when latents are to be their output (diffusers 0.42)."""


def arguments(recipe: Recipe) -> dict[str, Any]:
    """The pipeline's keyword arguments that a recipe fixes; what it leaves open is not passed.

    Raises:
        InputError: A picture cannot be read.
    """
    pictures = {name: read_picture(Path(file)) for name, file in recipe.images.items()}
    return _plain(recipe) | pictures


def described(recipe: Recipe) -> dict[str, Any]:
    """The same, sorted, as a profile holds them: a picture by its file's name and SHA-256.

    Raises:
        InputError: A picture cannot be read.
    """
    pictures = {name: name_and_digest(Path(file)) for name, file in recipe.images.items()}
    return dict(sorted((_plain(recipe) | pictures).items()))


def _plain(recipe: Recipe) -> dict[str, Any]:
    fixed = {
        "height": recipe.height,
        "width": recipe.width,
        "num_frames": recipe.frames,
        recipe.guidance_argument: recipe.guidance,
        "negative_prompt": recipe.negative_prompt,
    }
    return {k: v for k, v in fixed.items() if v is not None} | dict(recipe.call)


def least_output(pipe: Any) -> str:
    """The type of output that costs least: latents, where the pipeline can."""
    return "pt" if type(pipe).__name__ in NO_LATENTS else "latent"


def takes_strength(pipe: Any) -> bool:
    """Whether a pipeline starts from a picture, which its ``strength`` says: img2img, inpaint."""
    return "strength" in inspect.signature(type(pipe).__call__).parameters


def repeated(fixed: dict[str, Any], count: int, *, pictures: bool = False) -> dict[str, Any]:
    """The arguments of a batched call: a text that goes beside the prompt goes with each one.

    Args:
        fixed: The arguments of one sample's call.
        count: Samples of the batch.
        pictures: Give each sample a picture of its own, as pipelines with ``strength`` need it,
            who draw its latents with the sample's generator. Others share one among all
            samples; several are to them several pictures for each sample.
    """

    def each(name: str, value: Any) -> Any:
        text = isinstance(value, str) and TEXT.fullmatch(name)
        own = pictures and isinstance(value, Image.Image)
        return [value] * count if text or own else value

    return {name: each(name, value) for name, value in fixed.items()}


def generators(seed: int | Sequence[int]) -> Any:
    """The generator of the initial noise, on the CPU; a list of them for a list of seeds."""
    if isinstance(seed, Sequence):
        return [torch.Generator("cpu").manual_seed(each) for each in seed]
    return torch.Generator("cpu").manual_seed(seed)


@contextmanager
def also_seeded(seed: int | Sequence[int], device: torch.device) -> Generator[None]:
    """Torch's global generators seeded too, and given back: some pipelines draw from those.

    They are one for a whole batch, whose first seed they get: such a pipeline's samples are the
    same again only in the same batch, so calibrate and refine it one sample at a time.
    """
    devices = [] if device.type == "cpu" else [device]
    with torch.random.fork_rng(devices, device_type=device.type if devices else "cuda"):
        torch.manual_seed(seed[0] if isinstance(seed, Sequence) else seed)
        yield
