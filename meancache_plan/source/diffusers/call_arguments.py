"""The arguments of a pipeline's call, for one sample or for a batch of them."""

import hashlib
import inspect
import re
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from meancache_plan.errors import InputError
from meancache_plan.source.recipe import Recipe, nested
from meancache_plan.source.recipe_pictures import name_and_digest, read_picture

TEXT = re.compile(r"(negative_)?prompt(_\d)?")
"""Names of the arguments that hold one text per sample."""

NO_LATENTS = ("Kandinsky6SRPipeline", "QwenImageLayeredPipeline")
"""Pipelines that fail when latents are to be their output (diffusers 0.42)."""


def arguments(recipe: Recipe) -> dict[str, Any]:
    """The pipeline's keyword arguments that a recipe fixes; what it leaves open is not passed.

    Raises:
        InputError: A picture cannot be read.
    """
    pictures = {name: read_picture(Path(file)) for name, file in recipe.images.items()}
    return _plain(recipe) | pictures


def described(recipe: Recipe, values: Mapping[str, Any]) -> dict[str, Any]:
    """The same, sorted, as a profile holds them: a picture by its file's name and SHA-256.

    Args:
        recipe: The recipe.
        values: Arguments beside it, as they are given.

    Raises:
        InputError: A picture cannot be read, or a value cannot be described.
    """
    pictures = {name: name_and_digest(Path(file)) for name, file in recipe.images.items()}
    others = {name: description(name, value) for name, value in values.items()}
    return dict(sorted((_plain(recipe) | pictures | others).items()))


def description(name: str, value: Any) -> Any:
    """A JSON value that tells an argument from others: pictures and tensors by their SHA-256.

    Raises:
        InputError: The argument is none of these, nor plain, nor made of such.
    """
    match value:
        case None | bool() | int() | float() | str():
            return value
        case list() | tuple():
            return [description(name, item) for item in value]
        case dict():
            return {str(key): description(name, item) for key, item in value.items()}
        case Tensor():
            data = value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
            return f"tensor {list(value.shape)} {value.dtype} {_sha256(data)}"
        case Image.Image():
            size = f"{value.width} × {value.height} {value.mode}"
            return f"picture {size} {_sha256(value.tobytes())}"
        case _:
            raise InputError(
                f"{name} is a {type(value).__name__}, which a profile has no way to identify: "
                "give numbers, strings, pictures or tensors, or set it on the pipeline itself"
            )


def _sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _plain(recipe: Recipe) -> dict[str, Any]:
    fixed = {
        "height": recipe.height,
        "width": recipe.width,
        "num_frames": recipe.frames,
        recipe.guidance_argument: recipe.guidance,
        "negative_prompt": recipe.negative_prompt,
    }
    return {k: v for k, v in fixed.items() if v is not None} | nested(recipe.call)


def least_output(pipe: Any) -> str:
    """The type of output that costs least: latents, where the pipeline can."""
    return "pt" if type(pipe).__name__ in NO_LATENTS else "latent"


def pictures_of(pipe: Any, result: Any) -> Any:
    """What a pipeline's call made: its picture, or the frames of its video.

    Raises:
        InputError: It made sound alone.
    """
    if hasattr(result, "images"):
        return result.images
    if hasattr(result, "frames"):
        return result.frames[0]
    raise InputError(
        f"{type(pipe).__name__} makes no pictures, which are all that is shown, compared and kept "
        "here: calibrate, solve and refine work, and judge its plans by ear"
    )


def parameters(pipe: Any) -> dict[str, inspect.Parameter]:
    """What a pipeline's call takes by name; a subclass hands on what ``**kwargs`` take."""
    found: dict[str, inspect.Parameter] = {}
    for kind in type(pipe).__mro__:
        if "__call__" in vars(kind):
            own = inspect.signature(vars(kind)["__call__"]).parameters
            found = dict(own) | found
            if all(each.kind is not inspect.Parameter.VAR_KEYWORD for each in own.values()):
                break
    return found


def fitting(pipe: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The same arguments, with a real number for an integer where their default is one."""
    real = {name for name, each in parameters(pipe).items() if isinstance(each.default, float)}
    return {k: float(v) if k in real and type(v) is int else v for k, v in arguments.items()}


def takes_strength(pipe: Any) -> bool:
    """Whether a pipeline starts from a picture, which its ``strength`` says: img2img, inpaint."""
    return "strength" in parameters(pipe)


@contextmanager
def without_bar(pipe: Any) -> Generator[None]:
    """No progress bar of the pipeline's own meanwhile."""
    before = getattr(pipe, "_progress_bar_config", {})
    pipe.set_progress_bar_config(**before | {"disable": True})
    try:
        yield
    finally:
        pipe.set_progress_bar_config(**before)


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


def refusal(pipe: Any, count: int, error: Exception) -> InputError:
    """What to say of a call of ``count`` samples that a pipeline refuses."""
    name = type(pipe).__name__
    if count > 1:
        return InputError(
            f"{name} refuses a batch of {count} samples ({error}): make one sample at a time "
            "(batch 1), and see what it says then"
        )
    return InputError(
        f"{name} refuses the recipe's arguments ({error}): change its guidance_argument, "
        "negative_prompt, size or [call], or the scheduler if that is what refuses"
    )


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
