"""Pictures of a recipe go into every call, and a profile knows them by their bytes."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import FluxImg2ImgPipeline, FluxKontextPipeline, FluxPipeline
from PIL import Image

from meancache_plan import load_profile, load_schedule
from meancache_plan.errors import InputError
from meancache_plan.measure.calibrate import calibrate
from meancache_plan.source.diffusers import call_arguments
from meancache_plan.source.diffusers.pipeline import Pipeline
from meancache_plan.source.recipe import Recipe, load_recipe
from meancache_plan.source.recipe_pictures import read_picture
from tests.commands import refuse, run
from tests.families.pictures import picture
from tests.tiny import SIDE, TEXT_LENGTH

STEPS = 4
FROM_PICTURE = (FluxImg2ImgPipeline, {"strength": 1.0})
BESIDE_PICTURE = (FluxKontextPipeline, {"max_area": SIDE * SIDE, "_auto_resize": False})

pipelines = pytest.mark.parametrize(("cls", "options"), [FROM_PICTURE, BESIDE_PICTURE])


def text_of(options: dict[str, Any]) -> str:
    """A recipe that shows ``street.png``, which lies beside it."""
    values = {**options, "max_sequence_length": TEXT_LENGTH}
    table = "".join(f"{name} = {str(value).lower()}\n" for name, value in values.items())
    return (
        f'steps = {STEPS}\nheight = {SIDE}\nwidth = {SIDE}\ndtype = "float32"\nguidance = 1.0\n'
        f'prompts = "fit.txt"\nheldout_prompts = "held.txt"\nseeds = "0"\nheldout_seeds = "9"\n'
        f'[images]\nimage = "street.png"\n[call]\n{table}'
    )


def write(folder: Path, options: dict[str, Any]) -> Recipe:
    picture(SIDE).save(folder / "street.png")
    (folder / "fit.txt").write_text("a cat\na dog\n")
    (folder / "held.txt").write_text("an owl\n")
    (folder / "edit.toml").write_text(text_of(options))
    return load_recipe(folder / "edit.toml")


def adapted(cls: Any, flux: FluxPipeline, recipe: Recipe) -> Pipeline:
    pipe = cls.from_pipe(flux, torch_dtype=None)
    pipe.set_progress_bar_config(disable=True)
    return Pipeline(pipe, recipe, "tiny")


@pipelines
def test_the_picture_decides_the_sample(
    tiny_flux: FluxPipeline, cwd: Path, cls: Any, options: dict[str, Any]
) -> None:
    recipe = write(cwd, options)
    source = adapted(cls, tiny_flux, recipe)
    by_hand = source.pipe(
        prompt="a cat",
        image=picture(SIDE),
        num_inference_steps=STEPS,
        height=SIDE,
        width=SIDE,
        guidance_scale=1.0,
        max_sequence_length=TEXT_LENGTH,
        generator=torch.Generator().manual_seed(0),
        output_type="latent",
        **options,
    ).images
    assert torch.equal(source.final_latents(["a cat"], [0]), by_hand)
    if cls is FluxKontextPipeline:  # img2img of strength 1 starts from noise alone
        Image.new("RGB", (SIDE, SIDE), "red").save(cwd / "street.png")
        other = adapted(cls, tiny_flux, load_recipe(cwd / "edit.toml"))
        assert not torch.equal(other.final_latents(["a cat"], [0]), by_hand)


@pipelines
def test_a_batch_with_a_picture_equals_its_samples_alone(
    tiny_flux: FluxPipeline, cwd: Path, cls: Any, options: dict[str, Any]
) -> None:
    source = adapted(cls, tiny_flux, write(cwd, options))
    together = source.final_latents(["a cat", "a dog"], [3, 4])
    alone = [source.final_latents([text], [s]) for text, s in (("a cat", 3), ("a dog", 4))]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-4, atol=1e-5)


def test_a_profile_names_the_picture_by_file_and_digest(tiny_flux: FluxPipeline, cwd: Path) -> None:
    cls, options = BESIDE_PICTURE
    source = adapted(cls, tiny_flux, write(cwd, options))
    calibrate(source, ["a cat"], [0], cwd / "p")
    digest = hashlib.sha256((cwd / "street.png").read_bytes()).hexdigest()
    said = load_profile(cwd / "p").settings.call
    assert said["image"] == f"street.png sha256:{digest}"
    assert list(said) == sorted(said)
    Image.new("RGB", (SIDE, SIDE), "red").save(cwd / "street.png")
    other = adapted(cls, tiny_flux, load_recipe(cwd / "edit.toml"))
    with pytest.raises(InputError, match=r"its call\."):
        calibrate(other, ["a cat"], [0], cwd / "p")


def test_commands_go_the_whole_way_with_a_picture(
    tiny_flux: FluxPipeline, cwd: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cls, options = BESIDE_PICTURE
    adapted(cls, tiny_flux, write(cwd, options)).pipe.save_pretrained(cwd / "model")
    run("calibrate", "model", "--recipe", "edit.toml")
    run("solve", "--budget", "2")
    run("refine", "--model", "model", "--recipe", "edit.toml", "--batch", "2")
    assert load_schedule(cwd / "schedule.json").budgets == (2,)
    run("generate", "model", "--recipe", "edit.toml", "-p", "an owl", "-o", "out.png")
    assert Image.open(cwd / "out.png").size == (SIDE, SIDE)
    (cwd / "street.png").unlink()
    assert "street.png: no such picture" in refuse(
        capsys, "calibrate", "model", "--recipe", "edit.toml", "-o", "other"
    )


def test_pictures_are_read_as_rgb(tmp_path: Path) -> None:
    Image.new("LA", (3, 2), (200, 0)).save(tmp_path / "grey.png")
    found = read_picture(tmp_path / "grey.png")
    assert (found.mode, found.size, found.getpixel((0, 0))) == ("RGB", (3, 2), (200, 200, 200))


def test_texts_go_with_each_sample_and_pictures_where_samples_start_from_them() -> None:
    image, texts = picture(4), {"negative_prompt": "fog", "prompt_2": "x", "mode": "fast"}
    fixed = {**texts, "image": image, "strength": 0.5}
    shared = {"negative_prompt": ["fog"] * 2, "prompt_2": ["x"] * 2, "mode": "fast"}
    assert call_arguments.repeated(fixed, 2) == {**shared, "image": image, "strength": 0.5}
    own = call_arguments.repeated(fixed, 2, pictures=True)
    assert own == {**shared, "image": [image, image], "strength": 0.5}
