"""What the reference pipeline is trained on, and that what is held out is held out."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import combinations, product
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from meancache_plan.source.recipe import find_recipe, read_prompts

TRAINING = Path(__file__).parents[2] / "calibration" / "reference" / "training"
NAMES = ("held_out", "prompts", "redrawn", "scenes", "sprites", "subjects", "wordings")


@pytest.fixture(scope="module")
def training() -> Iterator[dict[str, ModuleType]]:
    """The training folder's modules, which import each other by their plain names."""
    before = set(sys.modules)
    sys.path.insert(0, str(TRAINING))
    try:
        yield {name: __import__(name) for name in NAMES}
    finally:
        sys.path.remove(str(TRAINING))
        for name in set(sys.modules) - before:
            if getattr(sys.modules[name], "__file__", "").startswith(str(TRAINING)):
                del sys.modules[name]


@pytest.fixture(scope="module")
def lists(
    training: dict[str, ModuleType], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, list[str]]:
    """The prompt lists as training writes them."""
    folder = tmp_path_factory.mktemp("prompts")
    training["prompts"].write(folder)
    return {
        kind: (folder / f"reference-{kind}.txt").read_text(encoding="utf-8").splitlines()
        for kind in ("calibration", "heldout")
    }


def test_the_recipes_prompts_are_those_that_training_writes(lists: dict[str, list[str]]) -> None:
    recipe = find_recipe("reference", None)
    assert lists["calibration"] == list(read_prompts(recipe.prompts))
    assert lists["heldout"] == list(read_prompts(recipe.heldout_prompts))


def test_at_least_forty_subjects_on_at_least_eight_grounds(
    training: dict[str, ModuleType],
) -> None:
    assert len(training["subjects"].NAMES) >= 40
    assert len(training["subjects"].COLOURS) >= 8


def test_about_a_fifth_of_pairs_and_a_tenth_of_grounds_are_held_out(
    training: dict[str, ModuleType],
) -> None:
    held, names = training["held_out"], training["subjects"].NAMES
    pairs = [held.pair_is_held_out(a, b) for a, b in combinations(names, 2)]
    grounds = [
        held.ground_is_held_out(n, c) for n, c in product(names, training["subjects"].COLOURS)
    ]
    assert np.mean(pairs) == pytest.approx(0.2, abs=0.03)
    assert np.mean(grounds) == pytest.approx(0.1, abs=0.03)


def test_which_pair_is_held_out_does_not_depend_on_its_order(
    training: dict[str, ModuleType],
) -> None:
    held, names = training["held_out"], training["subjects"].NAMES
    for a, b in combinations(names, 2):
        assert held.pair_is_held_out(a, b) == held.pair_is_held_out(b, a)


def test_nothing_held_out_is_ever_drawn_for_training(training: dict[str, ModuleType]) -> None:
    drawn = training["scenes"].draw(np.random.default_rng(0), 20_000)
    names, colours = training["subjects"].NAMES, training["subjects"].COLOURS
    for numbers, ground in zip(drawn.subjects, drawn.ground, strict=True):
        subjects = [names[k] for k in numbers if k >= 0]
        assert not training["held_out"].is_held_out(subjects, colours[ground])


def test_a_prompt_says_only_what_is_true_of_its_scene(training: dict[str, ModuleType]) -> None:
    rng, wordings = np.random.default_rng(1), training["wordings"]
    drawn = training["scenes"].draw(rng, 2000)
    for i, prompt in enumerate(wordings.say(rng, drawn)):
        wish = wordings.parse(prompt)
        facts = [wordings.facts(drawn, i, first) for first in (0, 1)]
        [true] = {fact for fact in facts if fact.subjects == wish.subjects}
        assert wish.ground in (None, true.ground)
        assert wish.where in (None, true.where)
        assert all(said in (None, size) for said, size in zip(wish.sizes, true.sizes, strict=True))


def test_the_grammar_reads_sizes_relations_and_grounds(training: dict[str, ModuleType]) -> None:
    wordings = training["wordings"]
    wish = wordings.parse("a small red apple left of a cat on a blue ground")
    assert wish == wordings.Wish(("red apple", "cat"), ("small", None), "left of", "blue")
    with pytest.raises(ValueError, match="not a prompt"):
        wordings.parse("a dragon on a blue ground")


def test_the_held_out_list_has_only_held_out_combinations_and_the_other_none(
    training: dict[str, ModuleType], lists: dict[str, list[str]]
) -> None:
    for kind, held, count in (("heldout", True, 64), ("calibration", False, 96)):
        assert len(set(lists[kind])) == len(lists[kind]) == count
        for prompt in lists[kind]:
            wish = training["wordings"].parse(prompt)
            assert training["held_out"].is_held_out(wish.subjects, wish.ground) is held, prompt


def test_the_sheet_shows_sixteen_prompts_that_were_trained_and_sixteen_held_out(
    training: dict[str, ModuleType],
) -> None:
    wishes = [training["wordings"].parse(p) for p in training["prompts"].sheet_prompts()]
    held = [training["held_out"].is_held_out(w.subjects, w.ground) for w in wishes]
    assert held == [False] * 16 + [True] * 16


def test_scenes_drawn_anew_for_a_prompt_show_what_it_says(training: dict[str, ModuleType]) -> None:
    rng, wordings = np.random.default_rng(2), training["wordings"]
    for prompt in training["prompts"].held_out_prompts()[:12]:
        drawn = training["redrawn"].redraw(rng, wordings.parse(prompt), 5)
        assert len(drawn) == 5
        assert all(wordings.holds(wordings.parse(prompt), drawn, i) for i in range(5))
        assert len(np.unique(drawn.centres, axis=0)) == 5


def test_a_painted_scene_shows_its_sprites_where_it_says_and_its_ground_elsewhere(
    training: dict[str, ModuleType],
) -> None:
    scenes, sprites = training["scenes"], training["sprites"]
    red = [
        [np.full((size, size, 4), (255, 0, 0, 255), np.uint8)] * len(sprites.ANGLES)
        for size in sprites.SIZES
    ]
    drawn = scenes.draw(np.random.default_rng(3), 50)
    pictures = scenes.paint(drawn, [red] * len(training["subjects"].NAMES))
    grounds = scenes.grounds(drawn)
    for i, picture in enumerate(pictures):
        shown = (picture == (255, 0, 0)).all(-1)
        assert (picture[~shown] == grounds[i][~shown]).all()
        for k in np.flatnonzero(drawn.subjects[i] >= 0):
            row, column = (min(63, round(centre)) for centre in drawn.centres[i, k])
            assert shown[row, column]
