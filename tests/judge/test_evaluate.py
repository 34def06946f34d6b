"""Evaluation end to end on the tiny pipeline, with plans made by hand."""

from __future__ import annotations

import json
from pathlib import Path
from warnings import catch_warnings, simplefilter

import numpy as np
import pytest
import torch
from diffusers import FluxPipeline

from meancache_plan import solve
from meancache_plan.core.bootstrap import bootstrap_interval
from meancache_plan.core.psnr import CEILING
from meancache_plan.errors import InputError
from meancache_plan.judge.evaluate import evaluate, with_measured
from meancache_plan.judge.evaluation_field import evaluation_field
from meancache_plan.judge.figures import FIGURES, INNOVATION
from meancache_plan.judge.findings import ALWAYS, Evaluation
from meancache_plan.judge.replay import replay
from meancache_plan.measure.calibrate import calibrate
from meancache_plan.schedule.artifact import from_bytes, to_bytes
from meancache_plan.show.terminal.evaluation_table import evaluation_table
from meancache_plan.source.diffusers.pipeline import Pipeline
from meancache_plan.source.recipe import digest
from meancache_runtime import attach
from meancache_runtime.errors import BudgetError
from tests.judge.evaluated import PROMPTS, SCHEDULE, SEEDS, STEPS, tiny_pipeline
from tests.show.shown import printed
from tests.source.diffusers.sampled import TWO_DENOISERS, Sampled
from tests.tiny import SIDE, tiny_flux

METHODS = ("plan", "uniform-hold", "uniform-adams", "fewer-steps")


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    return tiny_pipeline(tiny_flux())


@pytest.fixture(scope="module")
def evaluation(pipeline: Pipeline) -> Evaluation:
    return evaluate(pipeline, SCHEDULE, PROMPTS, SEEDS, shots=2)


def test_there_is_one_row_for_the_full_run_and_one_a_method_and_budget(
    evaluation: Evaluation,
) -> None:
    expected = [("full", STEPS), *((method, b) for b in (3, 5, 6) for method in METHODS)]
    assert [(row.method, row.budget) for row in evaluation.rows] == expected


def test_json_rows_have_the_promised_keys_and_plain_numbers(evaluation: Evaluation) -> None:
    found = json.loads(evaluation.to_json(), parse_constant=pytest.fail)
    for row in found["rows"]:
        assert set(row) == {
            *("method", "setting", "steps", "budget", "figures", "innovations", "speedup"),
            "failure",
        }
        assert isinstance(row["speedup"], float)
        assert set(ALWAYS) <= set(row["figures"])
        for figure in row["figures"].values():
            assert set(figure) == {"mean", "interval", "worst", "samples"}
            assert all(isinstance(value, float) for value in figure["samples"])
        assert len(row["figures"]["psnr"]["samples"]) == len(PROMPTS) * len(SEEDS)


def test_json_says_what_was_evaluated_on_what(evaluation: Evaluation) -> None:
    found = json.loads(evaluation.to_json())
    assert found["model"]["pipeline"] == "FluxPipeline"
    assert found["prompts_sha256"] == digest(PROMPTS)
    assert found["seeds"] == list(SEEDS)
    assert found["schedule_sha256"].startswith("sha256:")
    assert {"torch", "diffusers", "meancache-plan"} <= set(found["versions"])
    assert found["device"].startswith("cpu")


def test_json_reads_back_as_the_same_figures(evaluation: Evaluation) -> None:
    again = Evaluation.model_validate_json(evaluation.to_json())
    assert again.rows == evaluation.rows
    assert again.shots == ()


def test_budget_of_all_steps_is_identical_to_the_full_run(evaluation: Evaluation) -> None:
    row = evaluation.row("plan", STEPS)
    assert row.figure("psnr_latent").samples == (CEILING,) * 6
    found = [row.mean(name) for name in ("psnr", "ssim", "flip")]
    assert found == [CEILING, pytest.approx(1.0), 0.0]


@pytest.mark.parametrize("method", METHODS)
def test_every_method_gets_as_many_calls_as_the_plan_has_knots(
    evaluation: Evaluation, method: str
) -> None:
    assert [evaluation.row(method, b).mean("calls") for b in (3, 5, 6)] == [3, 2, 6]
    assert evaluation.row("full", STEPS).mean("calls") == STEPS


def test_true_cfg_counts_both_branches(tiny_flux: FluxPipeline) -> None:
    guided = tiny_pipeline(
        tiny_flux, guidance_argument="true_cfg_scale", guidance=2.0, negative_prompt="z"
    )
    found = evaluate(guided, SCHEDULE, PROMPTS[:1], SEEDS[:1], budgets=[3])
    assert [row.mean("calls") for row in found.rows] == [12, 6, 6, 6, 6]


def test_latent_psnr_is_that_of_the_runs_themselves(
    pipeline: Pipeline, evaluation: Evaluation
) -> None:
    jobs = [(prompt, seed) for prompt in PROMPTS for seed in SEEDS]
    full = [pipeline.generate(*job).latents.numpy().astype(np.float64) for job in jobs]
    with attach(pipeline.pipe, SCHEDULE.replayable(), budget=3):
        cached = [pipeline.generate(*job).latents.numpy() for job in jobs]
    value_range = 4 * np.concatenate(full).std()
    errors = [np.mean((a - b) ** 2) for a, b in zip(full, cached, strict=True)]
    expected = [10 * np.log10(value_range**2 / error) for error in errors]
    assert evaluation.latent_range == pytest.approx(value_range)
    assert evaluation.row("plan", 3).figure("psnr_latent").samples == pytest.approx(expected)


def test_uniform_hold_is_fewer_steps_where_the_grids_nest(evaluation: Evaluation) -> None:
    hold, fewer = (
        evaluation.row(method, 3).figure("psnr_latent").samples
        for method in ("uniform-hold", "fewer-steps")
    )
    assert hold == pytest.approx(fewer, abs=1e-2)


def test_uniform_adams_is_second_order_after_one_interval_of_hold() -> None:
    adams = {c.name: c for c in evaluation_field(SCHEDULE, [3])}["uniform-adams"].schedule
    assert adams is not None
    plan = adams.plan(3)
    assert plan.knots == (0, 2, 4)
    assert [type(interval).__name__ for interval in plan.intervals] == ["Hold", "Adams", "Adams"]


def test_all_who_compete_refresh_where_the_pipeline_switches_denoisers(tmp_path: Path) -> None:
    source = Sampled(TWO_DENOISERS)
    profile = calibrate(source, ["a"], [0], tmp_path / "p")
    assert profile.switches
    schedule = solve(profile, [3])
    assert schedule.grid.switches == profile.switches
    entrants = [each for each in evaluation_field(schedule) if each.schedule is not None]
    assert [each.name for each in entrants] == ["plan", "uniform-hold", "uniform-adams"]
    for each in entrants:
        assert each.schedule is not None
        with attach(source.pipe, each.schedule, budget=3) as attached:
            assert source.final_latents(["a"], [0]).isfinite().all()
        assert attached.stats.refreshes == 3


def test_the_full_run_has_the_steps_of_the_run_that_plans_aim_at() -> None:
    finer = SCHEDULE.grid.model_copy(update={"finer_steps": 12})
    full = evaluation_field(SCHEDULE.model_copy(update={"grid": finer}))[0]
    assert (full.name, full.budget, full.steps) == ("full", STEPS, 12)


@pytest.mark.parametrize("name", ["psnr_latent", "psnr", "ssim", "flip"])
def test_mean_worst_and_interval_follow_from_the_samples(evaluation: Evaluation, name: str) -> None:
    found = evaluation.row("plan", 3).figure(name)
    by_prompt = np.reshape(found.samples, (len(PROMPTS), len(SEEDS))).mean(axis=1)
    assert found.mean == pytest.approx(np.mean(found.samples))
    assert found.interval == bootstrap_interval(by_prompt.tolist())
    assert found.worst == (min if FIGURES[name].higher else max)(found.samples)


def test_speedup_is_the_full_run_s_seconds_over_the_method_s(evaluation: Evaluation) -> None:
    full = evaluation.row("full", STEPS)
    for row in evaluation.rows:
        assert row.mean("seconds") >= row.mean("loop_seconds") > 0
        assert row.speedup == pytest.approx(full.mean("seconds") / row.mean("seconds"))


def test_shots_are_the_first_prompts_with_the_first_seed(evaluation: Evaluation) -> None:
    pairs = [(shot.prompt, shot.seed) for shot in evaluation.shots]
    assert pairs == [("red fox", 3)] * 13 + [("tree", 3)] * 13
    assert evaluation.shots[0].method == "full"
    assert evaluation.shots[0].frames.shape == (1, SIDE, SIDE, 3)


def test_the_pipeline_is_left_as_it_was_found(tiny_flux: FluxPipeline) -> None:
    before = (type(tiny_flux), tiny_flux.transformer, tiny_flux.scheduler)
    evaluate(tiny_pipeline(tiny_flux), SCHEDULE, PROMPTS[:1], SEEDS[:1], budgets=[3])
    assert (type(tiny_flux), tiny_flux.transformer, tiny_flux.scheduler) == before


def test_progress_counts_every_generated_sample(pipeline: Pipeline) -> None:
    told: list[tuple[int, int]] = []
    evaluate(
        pipeline,
        SCHEDULE,
        PROMPTS[:2],
        SEEDS[:1],
        budgets=[3],
        progress=lambda done, total: told.append((done, total)),
    )
    assert told == [(i, 10) for i in range(1, 11)]


def test_an_unknown_budget_is_refused_before_any_work(pipeline: Pipeline) -> None:
    with pytest.raises(BudgetError, match="no plan for budget 4"):
        evaluate(pipeline, SCHEDULE, PROMPTS, SEEDS, budgets=[3, 4])


@pytest.mark.parametrize(("prompts", "seeds"), [((), (1,)), (("tree",), ())])
def test_nothing_to_evaluate_on_is_refused(
    pipeline: Pipeline, prompts: tuple[str, ...], seeds: tuple[int, ...]
) -> None:
    with pytest.raises(InputError, match="at least one prompt and one seed"):
        evaluate(pipeline, SCHEDULE, prompts, seeds)


def test_a_sample_that_is_not_finite_is_refused_by_name(tiny_flux: FluxPipeline) -> None:
    with torch.no_grad():
        tiny_flux.transformer.proj_out.bias.fill_(float("nan"))
    with pytest.raises(InputError, match=r"full at budget 6: the sample for 'tree' is not finite"):
        evaluate(tiny_pipeline(tiny_flux), SCHEDULE, ["tree"], [0], budgets=[3])


def test_replay_tells_what_the_run_did(pipeline: Pipeline) -> None:
    sample, stats = replay(pipeline, SCHEDULE.replayable(), 3, "tree", 0)
    assert (stats.refreshes, stats.cached_steps, stats.denoiser_calls) == (3, 3, 3)
    assert sample.frames.shape == (1, SIDE, SIDE, 3)


def test_measured_quality_goes_into_the_plans_that_were_evaluated(pipeline: Pipeline) -> None:
    found = evaluate(pipeline, SCHEDULE, PROMPTS[:1], SEEDS, budgets=[3])
    noted = with_measured(SCHEDULE, found)
    measured, row = noted.plans[0].measured, found.row("plan", 3)
    assert measured is not None
    assert (measured.psnr_latent, measured.samples) == (row.mean("psnr_latent"), 2)
    assert measured.prompts == digest(PROMPTS[:1])
    assert [plan.measured for plan in noted.plans[1:]] == [None, None]
    assert from_bytes(to_bytes(noted)) == noted
    assert noted.replayable() == SCHEDULE.replayable()


@pytest.mark.parametrize(("bound", "beyond"), [(1e-6, True), (1e6, False)])
def test_how_far_samples_stray_from_a_plan_is_kept_and_said(
    pipeline: Pipeline, bound: float, beyond: bool
) -> None:
    plan = SCHEDULE.plans[0].model_copy(update={"innovation": (bound,) * 2})
    bounded = SCHEDULE.model_copy(update={"plans": (plan,)})
    found = evaluate(pipeline, bounded, PROMPTS[:1], SEEDS[:1])
    row, other = found.row("plan", 3), found.row("fewer-steps", 3)
    (kept,) = row.figures[INNOVATION].samples
    assert 0 < kept * bound < 1e3
    assert (INNOVATION in other.figures, other.innovations) == (False, ())
    assert [each.knot for each in row.innovations] == [1, 3]
    assert max(each.largest for each in row.innovations) == kept
    assert [each.beyond for each in row.innovations] == [float(beyond)] * 2
    said = "beyond their plan's bounds: B = 3 100% (at knots 1, 3)." in one_line(found)
    assert said == beyond


def one_line(found: Evaluation) -> str:
    return " ".join(printed(evaluation_table(found)).split())


def test_at_each_knot_the_samples_distribution_is_kept(pipeline: Pipeline) -> None:
    plan = SCHEDULE.plans[0].model_copy(update={"innovation": (0.5, 1e6)})
    bounded = SCHEDULE.model_copy(update={"plans": (plan,)})
    found = evaluate(pipeline, bounded, PROMPTS, SEEDS, baselines=False)
    shares: list[list[float]] = []
    for prompt in PROMPTS:
        for seed in SEEDS:
            with catch_warnings(), attach(pipeline.pipe, bounded) as attached:
                simplefilter("ignore")
                pipeline.generate(prompt, seed, steps=STEPS)
            shares.append(list(attached.stats.innovations.values()))
    row = found.row("plan", 3)
    for each, column in zip(row.innovations, np.array(shares).T, strict=True):
        assert each.median == pytest.approx(np.median(column))
        assert each.high == pytest.approx(np.quantile(column, 0.99))
        assert each.largest == pytest.approx(column.max())
        assert each.beyond == np.mean(column > 1)
    assert Evaluation.model_validate_json(found.to_json()).rows == found.rows


def test_an_evaluation_of_another_schedule_is_not_noted(evaluation: Evaluation) -> None:
    other = SCHEDULE.model_copy(update={"plans": SCHEDULE.plans[:1]})
    with pytest.raises(InputError, match="another schedule"):
        with_measured(other, evaluation)
