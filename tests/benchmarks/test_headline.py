"""The benchmark of headline figures, end to end on a tiny pipeline and scenes without subjects."""

from __future__ import annotations

import io
import re
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import headline
from benchmarks.fresh_scenes import write_scenes
from meancache_plan import load_schedule
from meancache_plan.core.frechet import frechet_distance, gaussian
from meancache_plan.judge.findings import load_evaluation
from meancache_plan.judge.frechet.frechet_distances import Distances
from meancache_plan.source.diffusers.load_pipeline import load
from meancache_plan.source.diffusers.pipeline import Pipeline
from meancache_plan.source.recipe import find_recipe, override
from tests.tiny import TEXT_LENGTH, tiny_flux

SAMPLES = 6
SHIPPED = Path(__file__).parents[2] / "schedules" / "reference" / "50-steps.json"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny pipeline, its recipe and its prompts."""
    made = tmp_path_factory.mktemp("headline")
    tiny_flux().save_pretrained(made / "model")
    (made / "fit.txt").write_text("a cat\na dog\n")
    (made / "held.txt").write_text("an owl\n")
    (made / "tiny.toml").write_text(
        'height = 64\nwidth = 64\ndtype = "float32"\nguidance = 1.0\nseeds = "0"\n'
        f"call = {{ max_sequence_length = {TEXT_LENGTH} }}\nheldout_seeds = '9'\n"
        f"prompts = '{made / 'fit.txt'}'\nheldout_prompts = '{made / 'held.txt'}'\n"
    )
    return made


def run(folder: Path) -> str:
    """What it prints."""
    given = ["--pipeline", str(folder / "model"), "--recipe", str(folder / "tiny.toml")]
    given += ["--samples", str(SAMPLES), "--batch", "3", "--folder", str(folder / "out")]
    with redirect_stdout(io.StringIO()) as said:
        headline.main(["--tiny", *given])
    return said.getvalue()


@pytest.fixture(scope="module")
def printed(folder: Path) -> str:
    return run(folder)


def found(folder: Path, steps: int, budget: int) -> Distances:
    evaluation = load_evaluation(folder / "out" / f"{steps}-{budget}.evaluation.json")
    assert evaluation.frechet is not None
    return evaluation.frechet


def test_every_setting_has_a_row_a_method(folder: Path, printed: str) -> None:
    for steps, budget, *_ in headline.TINY:
        distances = found(folder, steps, budget)
        assert [row.method for row in distances.rows] == ["full", "plan", "fewer-steps"]
        assert (distances.samples, distances.pictures) == (SAMPLES, SAMPLES)
        for row in distances.rows:
            start = re.compile(rf"\| {steps} → {budget} +\| {row.method} ")
            (line,) = filter(start.match, printed.splitlines())
            assert f"{row.distance:.4g}" in line
            assert row.method == "full" or f"{row.change:+.3g}" in line


def test_a_second_run_samples_nothing_and_prints_the_same(
    folder: Path, printed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Pipeline, "run", pytest.fail)
    assert run(folder) == printed


def test_samples_are_compared_with_the_scenes_that_their_prompts_are_of(
    folder: Path, printed: str
) -> None:
    there = folder / "out" / f"scenes-{SAMPLES}"
    scenes = [np.asarray(Image.open(file)) for file in sorted(there.iterdir())]
    prompts = write_scenes(there, SAMPLES, ["a cat", "a dog", "an owl"], blank=True)
    recipe = override(find_recipe("reference", str(folder / "tiny.toml")), steps=5)
    pipeline = load(str(folder / "model"), recipe, device="cpu")
    made = [(255 * pipeline.generate(prompt, 9).frames[0]).round() for prompt in prompts]
    clouds = [gaussian(headline.MeanColours()(np.stack(each)).numpy()) for each in (scenes, made)]
    expected = frechet_distance(*clouds)
    assert found(folder, 5, 3).rows[0].distance == pytest.approx(expected, rel=1e-3)


def test_scenes_are_the_same_each_time_and_have_none_of_the_prompts_that_are_spoken_for(
    tmp_path: Path,
) -> None:
    first = write_scenes(tmp_path / "one", 8, [], blank=True)
    again = write_scenes(tmp_path / "two", 8, first[2:4], blank=True)
    assert again[:6] == [*first[:2], *first[4:]]
    for there, here in (("one/000004.png", "two/000002.png"), ("one/000007.png", "two/000005.png")):
        one, other = (np.asarray(Image.open(tmp_path / each)) for each in (there, here))
        assert one.shape == (64, 64, 3)
        assert np.array_equal(one, other)


@pytest.mark.parametrize(
    ("steps", "budget", "has"), [(50, 20, True), (50, 21, False), (40, 20, False)]
)
def test_a_schedule_of_a_file_is_judged_where_it_has_the_setting(
    steps: int, budget: int, has: bool
) -> None:
    setting = headline.Setting(steps, budget)
    schedule = headline.made_so(SHIPPED, setting)
    assert schedule == (load_schedule(SHIPPED) if has else None)
    assert headline.made_so(None, setting) is None
