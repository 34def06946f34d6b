"""Recipes and prompt lists say how samples are made, and are refused by field when wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from meancache_plan.errors import InputError
from meancache_plan.schedule.artifact import Generation, Grid, PlanEntry, Schedule
from meancache_plan.source.recipe import (
    Recipe,
    find_recipe,
    follow,
    load_recipe,
    override,
    parse_numbers,
    read_prompts,
)
from meancache_runtime.predictors import Hold


def test_the_default_set_is_fifty_prompts_by_five_seeds() -> None:
    recipe = find_recipe("black-forest-labs/FLUX.1-dev", None)
    assert len(read_prompts(recipe.prompts)) == 50
    assert len(parse_numbers(recipe.seeds, "seeds")) == 5


def test_an_unknown_model_gets_fifty_steps_and_its_own_defaults() -> None:
    recipe = find_recipe("someone/something", None)
    assert (recipe.steps, recipe.height, recipe.guidance) == (50, None, None)


def test_prompts_may_not_serve_both_fitting_and_judging(tmp_path: Path) -> None:
    (tmp_path / "fit.txt").write_text("a red apple\n")
    (tmp_path / "held.txt").write_text("a fox\nA  red Apple\n")
    with pytest.raises(InputError, match="disjoint"):
        override(
            Recipe(), prompts=str(tmp_path / "fit.txt"), heldout_prompts=str(tmp_path / "held.txt")
        )


def test_options_override_only_what_they_name() -> None:
    recipe = find_recipe("reference", None)
    changed = recipe.model_copy(update={"guidance": 3.0})
    assert override(recipe, guidance=3.0, dtype=None) == changed


def test_a_schedule_s_settings_are_followed() -> None:
    generation = Generation(
        height=32,
        width=64,
        frames=None,
        guidance={"guidance_scale_2": 3.0, "true_cfg_scale": 7.0},
        dtype="float16",
    )
    plan = PlanEntry(budget=1, knots=(0,), intervals=(Hold(),))
    schedule = Schedule(
        model=None,
        grid=Grid(steps=12, sigmas=None, tolerance=0.0),
        generation=generation,
        plans=(plan,),
        provenance=None,
    )
    recipe = follow(Recipe(height=8, guidance_argument="true_cfg_scale", guidance=1.0), schedule)
    assert (recipe.steps, recipe.height, recipe.width, recipe.dtype) == (12, 32, 64, "float16")
    assert (recipe.guidance_argument, recipe.guidance) == ("true_cfg_scale", 7.0)
    assert recipe.call == {"guidance_scale_2": 3.0}
    other = follow(Recipe(guidance=1.0, call={"guidance_scale_2": 4.0}), schedule)
    assert (other.guidance_argument, other.guidance) == ("guidance_scale_2", 3.0)
    assert other.call == {"true_cfg_scale": 7.0}


def test_other_steps_and_sizes_drop_what_the_recipe_says_of_its_own() -> None:
    recipe = find_recipe("reference", None)
    assert (recipe.budgets, recipe.latent_shape) == ("8,10,11,13,16,20,25", (1, 16, 64))
    same = override(recipe, steps=50, height=64, seeds="1")
    assert same == recipe.model_copy(update={"seeds": "1"})
    assert override(recipe, steps=6).budgets is None
    assert override(recipe, steps=6).latent_shape == (1, 16, 64)
    assert override(recipe, width=32).latent_shape is None
    assert override(recipe, width=32).budgets == recipe.budgets


def test_pictures_lie_beside_the_recipe_wherever_it_is_read_from(tmp_path: Path) -> None:
    Image.new("L", (4, 4)).save(tmp_path / "a.png")
    (tmp_path / "mine.toml").write_text(
        f'images = {{ image = "a.png", mask_image = "{tmp_path}/a.png" }}'
    )
    images = load_recipe(tmp_path / "mine.toml").images
    assert images == dict.fromkeys(("image", "mask_image"), str(tmp_path / "a.png"))


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("16", (16,)), ("8,10,13", (8, 10, 13)), ("8-11", (8, 9, 10, 11)), ("5, 3-4,3", (3, 4, 5))],
)
def test_numbers_are_a_value_a_list_or_a_range(text: str, numbers: tuple[int, ...]) -> None:
    assert parse_numbers(text, "--budget") == numbers


@pytest.mark.parametrize("text", ["", "x", "3-", "-3", "5-3", "1-999999999", "1,,2", "1.5"])
def test_other_numbers_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="--budget"):
        parse_numbers(text, "--budget")


def test_a_range_that_runs_backwards_and_one_that_is_too_long_are_told_apart() -> None:
    with pytest.raises(InputError, match="12-8 runs backwards: give 8-12"):
        parse_numbers("12-8", "--budget")
    with pytest.raises(InputError, match="1-999999 has more than 100,000 numbers"):
        parse_numbers("1-999999", "--budget")


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"# only a comment\n", "no prompt"), (b"a\nb\na\n", "twice"), (b"\xff\xfe", "UTF-8")],
)
def test_bad_prompt_files_are_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    file = tmp_path / "prompts.txt"
    file.write_bytes(content)
    with pytest.raises(InputError, match=reason):
        read_prompts(str(file))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("steps = ", "TOML"),
        ("steps = 'many'", "steps"),
        ("steps = 100000", "steps"),
        ("shape = 3", "shape"),
        ("guidance = nan", "guidance"),
        ("seeds = 'all'", "seeds"),
        ("prompts = 'no-such-list'", "no-such-list"),
        ("budgets = 'few'", "budgets"),
        ("budgets = '0,3'", "50 steps allow 1 to 50"),
        ("steps = 9\nbudgets = '8-10'", "9 steps allow 1 to 9"),
        ("budgets = '9-3'", "9-3 runs backwards: give 3-9"),
        ("branches = 0", "branches"),
        ("latent_shape = []", "latent_shape"),
        ("latent_shape = [1, 0]", "latent_shape"),
        ("images = { image = 'absent.png' }", "absent.png: no such picture"),
        ("images = { image = 'bad.toml' }", "bad.toml: not readable as a picture"),
        ("images = { image = 3 }", "images.image"),
        ("images = 'a.png'", "images"),
        ("images = { prompt = 'a.png' }", "prompt is set for every sample"),
        ("height = 8\ncall = { height = 4 }", "height is in \\[call\\] and has a key of its own"),
        ("call = { image = 1 }\nimages = { image = 'a.png' }", "in \\[call\\] and in \\[images\\]"),
    ],
)
def test_bad_recipes_are_refused_by_field(tmp_path: Path, content: str, reason: str) -> None:
    file = tmp_path / "bad.toml"
    file.write_text(content)
    with pytest.raises(InputError, match=reason):
        load_recipe(file)


def test_the_reference_prompts_are_enough_and_disjoint() -> None:
    recipe = find_recipe("reference", None)
    assert len(read_prompts(recipe.prompts)) >= 64
    assert len(read_prompts(recipe.heldout_prompts)) >= 64
