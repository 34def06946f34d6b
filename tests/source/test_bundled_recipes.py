"""The recipes that are shipped fit the pipelines that they name, and their documentation."""

from __future__ import annotations

import inspect
import re
import tomllib
from math import prod
from typing import Any

import diffusers
import pytest
import torch

from meancache_plan.source import catalog
from meancache_plan.source.diffusers import call
from meancache_plan.source.recipe import (
    Recipe,
    find_recipe,
    load_recipe,
    parse_numbers,
    read_prompts,
)

FILES = catalog.recipe_files()
DENOISERS = {
    "ChromaPipeline": "ChromaTransformer2DModel",
    "CogView4Pipeline": "CogView4Transformer2DModel",
    "Flux2Pipeline": "Flux2Transformer2DModel",
    "FluxPipeline": "FluxTransformer2DModel",
    "HunyuanVideoPipeline": "HunyuanVideoTransformer3DModel",
    "LTXPipeline": "LTXVideoTransformer3DModel",
    "QwenImagePipeline": "QwenImageTransformer2DModel",
    "StableDiffusion3Pipeline": "SD3Transformer2DModel",
    "WanPipeline": "WanTransformer3DModel",
    "ZImagePipeline": "ZImageTransformer2DModel",
}
PACKED = ("ChromaPipeline", "Flux2Pipeline", "FluxPipeline", "QwenImagePipeline")
"""Pipelines whose denoiser takes the channels of 2 × 2 latents."""

NONE = (None, inspect.Parameter.empty)

recipes = pytest.mark.parametrize("name", list(FILES))


def pipeline_class(recipe: Recipe) -> Any:
    assert recipe.pipeline is not None
    return getattr(diffusers, recipe.pipeline)


def channels(recipe: Recipe) -> int:
    """Latent channels that the class of the pipeline's denoiser has by default."""
    assert recipe.pipeline is not None
    if recipe.pipeline == "HunyuanVideo15Pipeline":
        denoiser = diffusers.HunyuanVideo15Transformer3DModel
        return inspect.signature(denoiser).parameters["out_channels"].default
    denoiser = getattr(diffusers, DENOISERS[recipe.pipeline])
    found = inspect.signature(denoiser).parameters["in_channels"].default
    return found // 4 if recipe.pipeline in PACKED else found


def without_parts(cls: Any) -> Any:
    """The pipeline with None for every model; it then takes its family's usual factors."""
    if cls is diffusers.HunyuanVideo15Pipeline:  # cannot do without a VAE
        pipe = object.__new__(cls)
        pipe.vae_scale_factor_temporal, pipe.vae_scale_factor_spatial = 4, 16
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
    assert call.arguments(recipe).keys() <= taken.keys()


@recipes
def test_it_says_what_fixes_its_samples_and_what_to_compile(name: str) -> None:
    recipe = load_recipe(FILES[name])
    wanted = {"model", "pipeline", "steps", "height", "width", "dtype", "prompts", "seeds"}
    assert recipe.model_fields_set >= wanted | {"latent_shape", "budgets"}
    assert ("revision" in recipe.model_fields_set) == (name != "reference")
    assert recipe.budgets is not None
    assert 4 <= len(parse_numbers(recipe.budgets, "budgets")) <= 8
    assert len(read_prompts(recipe.prompts)) >= 50


@recipes
def test_its_sources_are_cited(name: str) -> None:
    lines = FILES[name].read_text(encoding="utf-8").splitlines()
    comment = [line for line in lines if line.startswith("#")]
    assert lines[: len(comment)] == comment
    source = "calibration/reference" if name == "reference" else "https://"
    assert any(source in line for line in comment)


@recipes
def test_its_latents_have_the_shape_that_the_pipeline_prepares(name: str) -> None:
    """Asks diffusers' own code: the pipeline's, without weights, of its class's default widths."""
    recipe = load_recipe(FILES[name])
    cls = pipeline_class(recipe)
    sizes = {"height": recipe.height, "width": recipe.width, "num_frames": recipe.frames}
    known = inspect.signature(cls.prepare_latents).parameters
    width = "num_latents_channels" if "num_latents_channels" in known else "num_channels_latents"
    prepared = without_parts(cls).prepare_latents(
        batch_size=1,
        dtype=torch.float32,
        device=torch.device("cpu"),
        generator=torch.Generator(),
        **{width: channels(recipe)},
        **{key: value for key, value in sizes.items() if key in known},
    )
    latents = prepared[0] if isinstance(prepared, tuple) else prepared
    assert tuple(latents.shape) == recipe.latent_shape
    assert latents.numel() == prod(recipe.latent_shape)


def test_branches_are_those_of_the_pipelines_loop() -> None:
    """Counted in the source: calls of the denoiser in the loop, as the guidance makes them."""
    for name, file in FILES.items():
        recipe = load_recipe(file)
        if recipe.pipeline == "HunyuanVideo15Pipeline":  # its guider's number of conditions
            assert recipe.branches == 2
            continue
        source = inspect.getsource(pipeline_class(recipe).__call__)
        calls = len(re.findall(r"= (?:self\.transformer|current_model)\(", source))
        if "skip_guidance_layers" in source:  # a third call that is not asked for
            calls -= 1
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
    assert "Only `reference` has been run here" in " ".join(text.split())
