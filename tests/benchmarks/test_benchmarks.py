"""The benchmarks: what planners are judged by and concluded from; the full-size models."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from itertools import pairwise
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import FluxPipeline
from matplotlib.colors import to_rgb
from PIL import Image
from torch import Tensor

from benchmarks import full_size, realised, stability, stability_cases, stability_cost
from benchmarks.contest import BASELINES, METHODS, REFINED, RELEASED, Bench, Judge, compete
from benchmarks.digits import DigitFlow, DigitSource
from benchmarks.giants import GIANTS
from benchmarks.planners import digits_contest
from benchmarks.samples import DigitSamples, PipelineSamples
from benchmarks.standings import COLOURS, plot, targets
from meancache_plan.core.psnr import CEILING
from meancache_plan.judge.findings import Row, Spread
from meancache_plan.plan.simple_plans import adams_plan
from meancache_plan.show.comparison_files import to_csv
from meancache_plan.source.diffusers.pipeline import Pipeline
from meancache_plan.source.recipe import Recipe
from meancache_runtime.predictors import Hold, Predictor
from meancache_runtime.schedule import Schedule
from tests import plans
from tests.fields import gaussian_mixture
from tests.judge.tiny_comparison import PROMPT, SCHEDULE, tiny_pipeline
from tests.tiny import SIDE, TEXT_LENGTH, call_options

STEPS = 12
BUDGETS = (3, 5, STEPS)


def small_flow() -> DigitFlow:
    """Three classes of four random images."""
    generator = torch.Generator().manual_seed(0)
    images = 2 * torch.rand(12, 16, generator=generator, dtype=torch.float64) - 1
    return DigitFlow(images, torch.arange(12) % 3)


@pytest.fixture(scope="module")
def contest(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    folder = tmp_path_factory.mktemp("contest")
    return digits_contest(DigitSource(small_flow(), STEPS), 8, 6, BUDGETS, folder)


@pytest.fixture(scope="module")
def rows(contest: Bench) -> list[Row]:
    return list(compete(contest, list(METHODS)))


def test_the_steps_of_a_loop_are_timed_one_by_one_whoever_follows_the_plan(
    tiny_flux: FluxPipeline,
) -> None:
    steps, budget = plans.STEPS, plans.BUDGET
    options = call_options(steps)
    del options["output_type"]
    timed: dict[str, tuple[int, int]] = {}
    for name, way in realised.ways(tiny_flux, plans.SCHEDULE, budget).items():
        with way():
            loop = realised.timed(tiny_flux, options)
        timed[name] = (len(loop.beside), len(loop.calls))
    assert timed["plain"] == (steps, steps)
    assert timed["attach"] == (steps, budget)
    assert timed["MeanCacheScheduler"] == (budget, budget)


def _bounded(*intervals: Predictor) -> Schedule:
    """A schedule whose plan of five refreshes has bounds, and these predictors if any are given."""
    plain = SCHEDULE.replayable()
    plan = replace(plain.plan(5), innovation=(1e6,) * 4)
    return replace(plain, plans=(replace(plan, intervals=intervals or plan.intervals),))


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("intervals", [(), (Hold(),) * 5], ids=["looks back once", "never"])
def test_a_look_at_the_bounds_keeps_one_latent_more_than_a_plan_of_few_velocities(
    tiny_flux: FluxPipeline, intervals: tuple[Predictor, ...], precision: torch.dtype
) -> None:
    pipeline = tiny_pipeline(tiny_flux.to(precision))
    assert 0 < stability_cost.kept(pipeline, _bounded(*intervals), 5, PROMPT) <= 1.0


def test_what_a_look_at_the_bounds_takes_is_a_share_of_a_refresh(tiny_flux: FluxPipeline) -> None:
    assert isfinite(stability_cost.share(tiny_pipeline(tiny_flux), _bounded(), 5, 1))


def found(name: str, decibels: float, told: float) -> stability.Found:
    spread = Spread.of([decibels] * 4, higher=True)
    return stability.Found(name, spread, [0.5] * 4, told, spread, 5.0, None)


@pytest.mark.parametrize(
    ("calm", "other", "good"),
    [
        (found("calm", 40.0, 0.0), found("costs much, told", 30.0, 1.0), True),
        (found("calm", 40.0, 0.0), found("costs much, silent", 30.0, 0.5), False),
        (found("calm", 40.0, 0.0), found("costs nothing, silent", 39.0, 0.0), True),
        (found("false alarms", 40.0, 0.25), found("costs nothing", 40.0, 0.0), False),
    ],
)
def test_stability_is_met_if_what_costs_is_told_and_little_else(
    calm: stability.Found, other: stability.Found, good: bool
) -> None:
    assert stability.judged([calm, other]) == good


@pytest.mark.parametrize("rank", [None, 2])
def test_weights_are_moved_by_a_share_of_their_size_and_put_back(
    tiny_flux: FluxPipeline, rank: int | None
) -> None:
    pipe = tiny_flux
    before = {name: value.clone() for name, value in pipe.transformer.state_dict().items()}
    name = "transformer_blocks.0.attn.to_q.weight"
    with stability_cases.weights_moved(0.1, rank)(pipe):
        moved = pipe.transformer.state_dict()[name] - before[name]
        assert float(moved.std() / before[name].std()) == pytest.approx(0.1, rel=0.3)
    assert all(torch.equal(v, before[k]) for k, v in pipe.transformer.state_dict().items())


@pytest.mark.parametrize("sigma", [0.9, 0.5, 0.1, 0.0])
def test_digits_have_the_exact_velocity_of_their_mixture_guided_towards_a_class(
    sigma: float,
) -> None:
    flow = small_flow()
    classes = torch.tensor([0, 2, 1])
    z = torch.randn(3, 16, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    anything = gaussian_mixture(flow.images, flow.deviation)(z, sigma)
    own = torch.stack(
        [
            gaussian_mixture(flow.images[flow.labels == label], flow.deviation)(row, sigma)
            for row, label in zip(z, classes, strict=True)
        ]
    )
    expected = anything + 4.0 * (own - anything)
    torch.testing.assert_close(flow.velocity(classes)(z, sigma), expected)


def test_a_batch_of_digits_holds_the_samples_that_calibration_records() -> None:
    source = DigitSource(small_flow(), STEPS)
    batch = DigitSamples(source, ["3", "7"], 0)
    alone = torch.cat([source.record(prompt, 0)[0].latents[-1] for prompt in ("3", "7")])
    torch.testing.assert_close(batch.full([0, 1], STEPS), alone)


def test_every_method_is_judged_at_every_budget_on_as_many_refreshes(rows: list[Row]) -> None:
    methods = {name for names in METHODS.values() for name in names}
    assert {(row.method, row.budget) for row in rows} >= {(m, b) for m in methods for b in (3, 5)}
    assert [row.mean("refreshes") for row in rows] == [row.budget for row in rows]


def test_all_steps_give_the_full_samples_but_for_the_textbooks_own_formula(rows: list[Row]) -> None:
    full = [row for row in rows if row.budget == STEPS]
    exact = {row.method for row in full if row.figure("psnr_latent").worst == CEILING}
    assert {row.method for row in full} - exact == {"fewer steps, Adams–Bashforth"}


def test_a_plan_with_fewer_refreshes_than_its_budget_is_refused(contest: Bench) -> None:
    judge = Judge(contest, contest.heldout, "short")
    with pytest.raises(RuntimeError, match=r"short took 2\.0 refreshes a sample, not 3"):
        judge.row("short", adams_plan((0, 6), 3), 3)


def test_a_second_contest_finds_all_held_out_samples_made(contest: Bench, rows: list[Row]) -> None:
    before = contest.heldout.refreshes
    assert list(compete(contest, ["baseline"])) == [row for row in rows if row.method in BASELINES]
    assert contest.heldout.refreshes == before


def test_textbook_steps_in_a_pipeline_are_those_by_hand(
    tiny_flux: FluxPipeline, tmp_path: Path
) -> None:
    steps = 4
    recipe = {"steps": steps, "height": SIDE, "width": SIDE, "dtype": "float32", "model": "tiny"}
    extra: dict[str, Any] = {"guidance": 1.0, "call": {"max_sequence_length": TEXT_LENGTH}}
    pipeline = Pipeline(tiny_flux, Recipe.model_validate(recipe | extra), "tiny")
    prompts = ["a cat", "a dog", "a pig"]
    samples = PipelineSamples(pipeline, prompts, [0], tmp_path / "kept", batch=2, branches=1)
    found = samples.textbook(range(3), steps)
    assert samples.refreshes == 3 * steps
    by_hand = [_adams_bashforth(pipeline, prompt) for prompt in prompts]
    torch.testing.assert_close(found, torch.cat(by_hand))


def _adams_bashforth(pipeline: Pipeline, prompt: str) -> Tensor:
    whole = pipeline.record(prompt, 0)[0]
    sigmas, latents, velocities = whole.sigmas, whole.latents[0], list[Tensor]()
    for i, (sigma, following) in enumerate(pairwise(sigmas)):
        velocities.append(pipeline.resume(prompt, 0, i, latents, i + 1).velocities[0])
        average = velocities[i]
        if i:
            ratio = (following - sigma) / (2 * (sigma - sigmas[i - 1]))
            average = (1 + ratio) * velocities[i] - ratio * velocities[i - 1]
        latents = latents + (following - sigma) * average
    return latents


def row(method: str, budget: int, mean: float, decile: float = 30.0) -> Row:
    interval = (mean - 1, mean + 1)
    found = Spread(mean=mean, interval=interval, worst=decile, samples=(decile, 2 * mean - decile))
    figures = {"psnr_latent": found}
    return Row(method=method, setting="x", steps=50, budget=budget, figures=figures)


@pytest.mark.parametrize(("budget", "gain"), [(8, 3.0), (10, 4.0), (16, 4.0)])
def test_refined_must_gain_so_much_on_the_released_replay(budget: int, gain: float) -> None:
    for reached, met in ((40 + gain, True), (39.9 + gain, False)):
        found = targets([row(RELEASED, budget, 40.0), row(REFINED, budget, reached)], False)
        assert {
            t.met for t in found if "released 40.00 dB +" in t.text and "best" not in t.text
        } == {met}


def test_refined_must_gain_on_whichever_baseline_is_best_and_lose_no_worst_tenth() -> None:
    rivals = [row(RELEASED, 10, 40.0), row("paper", 10, 43.0, decile=35.0)]
    failed = [t.text for t in targets([*rivals, row(REFINED, 10, 45.9)], False) if not t.met]
    assert failed == [
        "B = 10: refined 45.90 dB, best baseline, paper 43.00 dB + 3",
        "B = 10: refined 30.00 dB, worst tenth of paper 35.00 dB",
    ]


def test_the_file_and_the_plot_show_every_method(rows: list[Row], tmp_path: Path) -> None:
    lines = csv.DictReader(io.StringIO(to_csv(rows)))
    kept = [(line["method"], float(line["psnr_latent"])) for line in lines]
    assert kept == [(row.method, row.mean("psnr_latent")) for row in rows]
    plot(rows, tmp_path / "plot.png", "small")
    pixels = np.asarray(Image.open(tmp_path / "plot.png").convert("RGB")).reshape(-1, 3)
    for colour in COLOURS:
        wanted = np.round(255 * np.array(to_rgb(colour)))
        assert (pixels == wanted).all(axis=1).sum() > 50, colour


@pytest.mark.parametrize(
    ("name", "billions"), [("flux", 11.90), ("qwen-image", 20.43), ("hunyuan-video", 12.82)]
)
def test_full_size_models_have_as_many_weights_as_the_released_ones(
    name: str, billions: float
) -> None:
    """Their cards say 12, 20 and 13 billion."""
    weights = sum(weight.numel() for weight in GIANTS[name].shell().parameters())
    assert weights / 1e9 == pytest.approx(billions, abs=0.005)


def test_full_size_runs_plain_and_replayed_loops_of_every_model(tmp_path: Path) -> None:
    full_size.main(["--tiny", "--repeats", "1", "--json", str(tmp_path / "times.json")])
    measured = json.loads((tmp_path / "times.json").read_text())["models"]
    assert list(measured) == list(GIANTS)
    for name, rows in measured.items():
        calls = {row["budget"]: row["calls"] for row in rows}
        assert calls == {budget: budget * GIANTS[name].branches for budget in (50, 10, 16, 25)}
        plain = rows[0]["seconds"]
        for row in rows:
            assert row["speedup"] == pytest.approx(plain / row["seconds"])
            assert row["of_ideal"] == pytest.approx(row["speedup"] / (50 / row["budget"]))


@pytest.mark.parametrize(("reached", "verdict"), [(0.95, "FAIL"), (0.98, "PASS")])
def test_full_size_says_whether_cached_steps_cost_too_much(
    reached: float, verdict: str, capsys: pytest.CaptureFixture[str]
) -> None:
    plain, replayed = (50, 50.0, 50, 1.0, 1.0), (10, 10 / reached, 10, 5 * reached, reached)
    timings = [full_size.Timing(*plain), full_size.Timing(*replayed)]
    full_size.show(GIANTS["flux"], timings, judged=True)
    assert f"{reached:.3f} of T / B  {verdict}" in capsys.readouterr().out


def test_full_size_without_an_accelerator_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match=r"needs a CUDA device: use --tiny"):
        full_size.main([])
