"""The recipes that are shipped fit the pipelines that they name, and their documentation."""

from __future__ import annotations

import inspect
import json
import re
import tomllib
from math import ceil, prod
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from diffusers.pipelines.hunyuan_video1_5.image_processor import HunyuanVideo15ImageProcessor

from meancache_plan.source import catalog
from meancache_plan.source.diffusers import call_arguments
from meancache_plan.source.recipe import (
    Recipe,
    find_recipe,
    load_recipe,
    parse_numbers,
    read_prompts,
)
from meancache_plan.source.recipe_pictures import read_picture

FILES = catalog.recipe_files()
DENOISERS = {
    "ChromaPipeline": "ChromaTransformer2DModel",
    "CogView4Pipeline": "CogView4Transformer2DModel",
    "Flux2KleinPipeline": "Flux2Transformer2DModel",
    "Flux2Pipeline": "Flux2Transformer2DModel",
    "FluxKontextPipeline": "FluxTransformer2DModel",
    "FluxPipeline": "FluxTransformer2DModel",
    "HunyuanVideoPipeline": "HunyuanVideoTransformer3DModel",
    "LTX2Pipeline": "LTX2VideoTransformer3DModel",
    "LTXPipeline": "LTXVideoTransformer3DModel",
    "QwenImage21Pipeline": "QwenImage21Transformer2DModel",
    "QwenImageEditPlusPipeline": "QwenImageTransformer2DModel",
    "QwenImagePipeline": "QwenImageTransformer2DModel",
    "StableDiffusion3Pipeline": "SD3Transformer2DModel",
    "WanPipeline": "WanTransformer3DModel",
    "ZImagePipeline": "ZImageTransformer2DModel",
}
PACKED = (
    "ChromaPipeline",
    "Flux2KleinPipeline",
    "Flux2Pipeline",
    "FluxKontextPipeline",
    "FluxPipeline",
    "QwenImageEditPlusPipeline",
    "QwenImagePipeline",
)
"""Pipelines whose denoiser takes the channels of 2 × 2 latents."""

GUIDED_BY_A_COMPONENT = ("HunyuanVideo15ImageToVideoPipeline", "HunyuanVideo15Pipeline")
"""Pipelines with a guider."""

NOT_MADE = {"AceStepPipeline": 2, "LTX2Pipeline": 2}
"""Calls in a pipeline's loop that stand in place of another one, or that its recipe turns off."""

VIDEO_15 = {"vae_scale_factor_temporal": 4, "vae_scale_factor_spatial": 16}
FACTORS: dict[str, dict[str, int]] = {
    "HunyuanVideo15ImageToVideoPipeline": VIDEO_15,
    "HunyuanVideo15Pipeline": VIDEO_15,
    "QwenImage21Pipeline": {"vae_scale_factor": 16},
}
"""Of pipelines that cannot do without their parts: what they would say."""

NONE = (None, inspect.Parameter.empty)

OF_SOUND = ("stable-audio-3-medium-base", "ace-step-1.5-xl-base")

recipes = pytest.mark.parametrize("name", list(FILES))


def pipeline_class(recipe: Recipe) -> Any:
    assert recipe.pipeline is not None
    return getattr(diffusers, recipe.pipeline)


def channels(recipe: Recipe) -> int:
    """Latent channels that the class of the pipeline's denoiser has by default."""
    assert recipe.pipeline is not None
    if recipe.model == catalog.VIDEO_REFERENCE:  # of its own width
        folder = catalog.reference_pipeline(recipe.model)
        return json.loads((folder / "transformer" / "config.json").read_text())["in_channels"]
    if recipe.pipeline in GUIDED_BY_A_COMPONENT:
        denoiser = diffusers.HunyuanVideo15Transformer3DModel
        return inspect.signature(denoiser).parameters["out_channels"].default
    denoiser = getattr(diffusers, DENOISERS[recipe.pipeline])
    found = inspect.signature(denoiser).parameters["in_channels"].default
    return found // 4 if recipe.pipeline in PACKED else found


def without_parts(cls: Any) -> Any:
    """The pipeline with None for every model; it then takes its family's usual factors."""
    if cls.__name__ in FACTORS:
        pipe = object.__new__(cls)
        vars(pipe).update(FACTORS[cls.__name__])
        return pipe
    parts = inspect.signature(cls.__init__).parameters.items()
    return cls(**{name: None for name, part in parts if name != "self" and part.default in NONE})


@recipes
def test_a_recipe_is_found_by_its_name_and_by_its_model(name: str) -> None:
    recipe = load_recipe(FILES[name])
    assert recipe.model is not None
    assert find_recipe(recipe.model, None) == find_recipe("anything", name) == recipe


@recipes
def test_its_pipeline_takes_every_argument_that_it_passes(name: str) -> None:
    recipe = load_recipe(FILES[name])
    taken = inspect.signature(pipeline_class(recipe).__call__).parameters
    assert call_arguments.arguments(recipe).keys() <= taken.keys()


@recipes
def test_it_says_what_fixes_its_samples_and_what_to_compile(name: str) -> None:
    recipe = load_recipe(FILES[name])
    wanted = {"model", "pipeline", "steps", "dtype", "prompts", "seeds", "latent_shape", "budgets"}
    taken = inspect.signature(pipeline_class(recipe).__call__).parameters
    assert recipe.model_fields_set >= wanted | ({"height", "width"} & taken.keys())
    assert ("revision" in recipe.model_fields_set) == (name not in catalog.NAMED)
    assert recipe.budgets is not None
    assert 4 <= len(parse_numbers(recipe.budgets, "budgets")) <= 8
    assert len(read_prompts(recipe.prompts)) >= 50


@recipes
def test_its_sources_are_cited(name: str) -> None:
    lines = FILES[name].read_text(encoding="utf-8").splitlines()
    comment = [line for line in lines if line.startswith("#")]
    assert lines[: len(comment)] == comment
    source = f"calibration/{name}" if name in catalog.NAMED else "https://"
    assert any(source in line for line in comment)


def size(recipe: Recipe) -> dict[str, int | None]:
    """What a sample is as large as; where the picture decides, as the pipeline does."""
    sizes = {"height": recipe.height, "width": recipe.width, "num_frames": recipe.frames}
    if recipe.height is None and recipe.images:
        image = read_picture(Path(recipe.images["image"]))
        take = HunyuanVideo15ImageProcessor(vae_scale_factor=16).calculate_default_height_width
        sizes["height"], sizes["width"] = take(image.height, image.width, target_size=640)
    return sizes


def prepared(recipe: Recipe) -> list[torch.Tensor]:
    """Latents as diffusers' own code makes them: the pipeline's, without weights or pictures, of
    its class's default widths."""
    cls = pipeline_class(recipe)
    known = inspect.signature(cls.prepare_latents).parameters
    width = "num_latents_channels" if "num_latents_channels" in known else "num_channels_latents"
    asked = size(recipe) | {width: channels(recipe)} | dict.fromkeys(("image", "images"))
    common = {
        "batch_size": 1,
        "dtype": torch.float32,
        "device": torch.device("cpu"),
        "generator": torch.Generator(),
    }
    pipe = without_parts(cls)
    latents = pipe.prepare_latents(**common, **{k: v for k, v in asked.items() if k in known})
    made = [latents[0] if isinstance(latents, tuple) else latents]
    if recipe.pipeline == "LTX2Pipeline":
        assert recipe.frames is not None
        a_second = pipe.audio_sampling_rate / pipe.audio_hop_length
        a_second /= pipe.audio_vae_temporal_compression_ratio
        length = round(recipe.frames / float(recipe.call["frame_rate"]) * a_second)
        made += [pipe.prepare_audio_latents(**common, audio_latent_length=length)]
    return made


@pytest.mark.parametrize("name", [name for name in FILES if name not in OF_SOUND])
def test_its_latents_have_the_shape_that_the_pipeline_prepares(name: str) -> None:
    """Those that are stepped side by side are flattened and joined."""
    recipe = load_recipe(FILES[name])
    latents = prepared(recipe)
    joined = torch.cat([each.flatten(1) for each in latents], 1)
    assert tuple((joined if len(latents) > 1 else latents[0]).shape) == recipe.latent_shape


def test_latents_of_sound_are_as_long_as_it_lasts() -> None:
    stable, ace = (load_recipe(FILES[name]) for name in OF_SOUND)
    vae = inspect.signature(diffusers.AutoencoderSAME).parameters
    strides = vae["patch_size"].default * prod(vae["encoder_strides"].default)
    seconds = float(stable.call["duration"]) * vae["sampling_rate"].default
    assert stable.latent_shape == (1, vae["latent_dim"].default, ceil(seconds / strides))
    a_second = without_parts(diffusers.AceStepPipeline).latents_per_second
    denoiser = inspect.signature(diffusers.AceStepTransformer1DModel).parameters
    width = denoiser["audio_acoustic_hidden_dim"].default
    assert ace.latent_shape == (1, ceil(float(ace.call["audio_duration"]) * a_second), width)


def test_branches_are_those_of_the_pipelines_loop() -> None:
    """Counted in the source: calls of the denoiser in the loop, as the guidance makes them."""
    for name, file in FILES.items():
        recipe = load_recipe(file)
        if recipe.pipeline in GUIDED_BY_A_COMPONENT:  # its guider's number of conditions
            assert recipe.branches == 2
            continue
        source = inspect.getsource(pipeline_class(recipe).__call__)
        calls = len(re.findall(r"= (?:self\.transformer|current_model)\(", source))
        if "skip_guidance_layers" in source:  # a third call that is not asked for
            calls -= 1
        calls -= NOT_MADE.get(recipe.pipeline or "", 0)
        arguments = inspect.signature(pipeline_class(recipe).__call__).parameters
        embedded = "true_cfg_scale" in arguments and recipe.guidance_argument != "true_cfg_scale"
        assert recipe.branches == (1 if embedded else calls), name


def test_the_table_of_keys_is_that_of_the_fields() -> None:
    text = (FILES["reference"].parent / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.*?`) \| (.*?) \| (.*?) \| .* \|$", text, re.M)
    documented = {key: default for keys, _, default in rows for key in re.findall(r"`(\w+)`", keys)}
    assert documented.keys() == Recipe.model_fields.keys()
    for key, default in documented.items():
        said = None if default == "none" else tomllib.loads(f"x = {default.strip('`')}")["x"]
        assert Recipe.model_fields[key].default == said, key


def test_what_was_not_run_is_said_so() -> None:
    text = (FILES["reference"].parent / "README.md").read_text(encoding="utf-8")
    assert "Only `reference` and `reference-video` have been run here" in " ".join(text.split())
