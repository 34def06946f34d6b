"""A pipeline's calibration samples, as refinement asks for them, on the tiny FluxPipeline."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from meancache_plan.errors import InputError
from meancache_plan.files.journal import Journal
from meancache_plan.improve.refine import refine
from meancache_plan.plan.simple_plans import adams_plan
from meancache_plan.plan.solve import solve
from meancache_plan.source.diffusers.pipeline import Pipeline
from meancache_plan.source.diffusers.pipeline_ensemble import PipelineEnsemble
from meancache_plan.source.recipe import Recipe
from meancache_runtime import attach
from meancache_runtime.schedule import Grid, Plan, Schedule
from tests.fields import profile_of
from tests.tiny import SIDE, TEXT_LENGTH, call_options, tiny_flux

STEPS = 8
PROMPTS = ("red fox", "tree", "blue", "a cat")
SEEDS = (3, 5)
SAMPLES = [(prompt, seed) for prompt in PROMPTS for seed in SEEDS]
ROWS = (1, 4, 6)


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    recipe = Recipe(
        steps=STEPS,
        height=SIDE,
        width=SIDE,
        guidance=1.0,
        dtype="float32",
        call={"max_sequence_length": TEXT_LENGTH},
    )
    return Pipeline(tiny_flux(), recipe, "tiny")


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Journal:
    return Journal(tmp_path_factory.mktemp("kept") / "trajectories")


@pytest.fixture(scope="module")
def ensemble(pipeline: Pipeline, journal: Journal) -> PipelineEnsemble:
    return PipelineEnsemble(pipeline, PROMPTS, SEEDS, journal)


@pytest.fixture(scope="module")
def batched(pipeline: Pipeline) -> PipelineEnsemble:
    return PipelineEnsemble(pipeline, PROMPTS, SEEDS, Journal(), batch=2)


def by_hand(pipeline: Pipeline, rows: Sequence[int], steps: int = STEPS) -> Tensor:
    """Final latents of the pipeline as it is now, one call a sample."""
    runs = [
        pipeline.pipe(SAMPLES[row][0], **call_options(steps, seed=SAMPLES[row][1])).images
        for row in rows
    ]
    return torch.cat(runs)


@contextmanager
def counted(pipeline: Pipeline) -> Generator[list[Any]]:
    """Notes every call of the denoiser."""
    calls: list[Any] = []

    def note(module: Any, inputs: Any, _output: Any) -> None:
        calls.append((module, inputs))

    hook = pipeline.pipe.transformer.register_forward_hook(note)
    try:
        yield calls
    finally:
        hook.remove()


def schedule_of(plan: Plan) -> Schedule:
    return Schedule(None, Grid(STEPS, None, 0.0), (plan,))


def test_the_grid_and_the_latents_are_those_of_a_recorded_run(
    pipeline: Pipeline, ensemble: PipelineEnsemble
) -> None:
    runs = [pipeline.record(*SAMPLES[row])[0] for row in ROWS]
    assert ensemble.sigmas == runs[0].sigmas
    assert ensemble.prompt_index.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    for step in range(STEPS + 1):
        assert torch.equal(
            ensemble.full(ROWS, step), torch.cat([run.latents[step] for run in runs])
        )


def test_the_velocity_at_a_recorded_state_is_the_recorded_one_bit_for_bit(
    pipeline: Pipeline, ensemble: PipelineEnsemble
) -> None:
    runs = [pipeline.record(*SAMPLES[row])[0] for row in ROWS]
    for step in (0, 1, STEPS - 1):
        found = ensemble.velocity(ROWS, step, ensemble.full(ROWS, step))
        assert torch.equal(found, torch.cat([run.velocities[step] for run in runs]))


def test_the_velocity_is_that_of_the_given_latents(ensemble: PipelineEnsemble) -> None:
    here, elsewhere = ensemble.full(ROWS, 3), ensemble.full(ROWS, 3) + 0.5
    assert not torch.allclose(
        ensemble.velocity(ROWS, 3, here), ensemble.velocity(ROWS, 3, elsewhere), atol=1e-3
    )


def test_a_plan_whose_velocities_are_not_finite_gives_nan(
    pipeline: Pipeline, ensemble: PipelineEnsemble
) -> None:
    hook = pipeline.pipe.transformer.register_forward_hook(
        lambda _m, _a, output: (output[0] * torch.nan,)
    )
    try:
        found = ensemble.replay(ROWS, schedule_of(adams_plan((0, 2, 5))), 3)
    finally:
        hook.remove()
    assert found.shape == ensemble.full(ROWS, STEPS).shape
    assert found.isnan().all()


def test_batches_give_the_same_samples_in_the_same_order(
    ensemble: PipelineEnsemble, batched: PipelineEnsemble
) -> None:
    plan = schedule_of(adams_plan((0, 2, 5)))
    for step in (0, 4, STEPS):
        torch.testing.assert_close(batched.full(ROWS, step), ensemble.full(ROWS, step))
    latents = ensemble.full(ROWS, 4)
    found = batched.velocity(ROWS, 4, latents), batched.replay(ROWS, plan, 3)
    alone = ensemble.velocity(ROWS, 4, latents), ensemble.replay(ROWS, plan, 3)
    torch.testing.assert_close(found, alone, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(batched.plain(ROWS, 4), ensemble.plain(ROWS, 4))


def test_a_replay_is_what_attaching_the_plan_gives(
    pipeline: Pipeline, ensemble: PipelineEnsemble
) -> None:
    schedule = schedule_of(adams_plan((0, 2, 5)))
    found = ensemble.replay(ROWS, schedule, 3)
    with attach(pipeline.pipe, schedule, budget=3):
        assert torch.equal(found, by_hand(pipeline, ROWS))
    assert not torch.allclose(found, ensemble.full(ROWS, STEPS), atol=1e-4)


def test_a_plain_run_is_the_pipelines_own_of_so_few_steps(
    pipeline: Pipeline, ensemble: PipelineEnsemble
) -> None:
    assert torch.equal(ensemble.plain(ROWS, 4), by_hand(pipeline, ROWS, steps=4))
    assert torch.equal(ensemble.plain(ROWS, STEPS), ensemble.full(ROWS, STEPS))


def test_a_resumed_recording_runs_only_what_is_missing_or_cut_short(
    pipeline: Pipeline, ensemble: PipelineEnsemble, journal: Journal
) -> None:
    wanted = [ensemble.full(range(8), step) for step in (0, STEPS)]
    lost, cut, *_ = journal.folder.glob("trajectory-*")
    lost.unlink()
    cut.write_bytes(cut.read_bytes()[:-100])
    told: list[tuple[int, int]] = []
    with counted(pipeline) as calls:
        again = PipelineEnsemble(
            pipeline,
            PROMPTS,
            SEEDS,
            journal,
            progress=lambda done, total: told.append((done, total)),
        )
    assert len(calls) == 2 * STEPS
    assert told == [(6, 8), (7, 8), (8, 8)]
    assert again.sigmas == ensemble.sigmas
    for latents, step in zip(wanted, (0, STEPS), strict=True):
        assert torch.equal(again.full(range(8), step), latents)
    with counted(pipeline) as calls:
        PipelineEnsemble(pipeline, PROMPTS, SEEDS, journal)
    assert calls == []


def test_a_trajectory_that_is_gone_is_named_with_the_way_out(pipeline: Pipeline) -> None:
    journal = Journal()
    kept = PipelineEnsemble(pipeline, PROMPTS[:1], SEEDS[:1], journal)
    [file] = journal.folder.glob("trajectory-*")
    file.unlink()
    with pytest.raises(InputError, match=rf"{file.name}: is gone or damaged .*; run again"):
        kept.full([0], 0)


def test_no_trajectory_is_taken_for_that_of_another_sample(pipeline: Pipeline) -> None:
    journal = Journal()
    PipelineEnsemble(pipeline, PROMPTS[:2], SEEDS, journal)
    with counted(pipeline) as calls:
        PipelineEnsemble(pipeline, ("red dog", PROMPTS[1]), SEEDS, journal)
        assert len(calls) == 2 * STEPS
        PipelineEnsemble(pipeline, PROMPTS[:2], (SEEDS[0], 6), journal)
        assert len(calls) == 4 * STEPS
        swapped = PipelineEnsemble(pipeline, PROMPTS[:1], SEEDS[::-1], journal)
    assert len(calls) == 4 * STEPS
    assert torch.equal(swapped.full([1], 0), pipeline.record(PROMPTS[0], SEEDS[0])[0].latents[0])


def test_nothing_to_refine_on_is_refused(pipeline: Pipeline) -> None:
    with pytest.raises(InputError, match="give at least one prompt and one seed"):
        PipelineEnsemble(pipeline, PROMPTS, (), Journal())


def test_half_precision_is_kept_as_it_is_and_handed_out_in_single() -> None:
    recipe = Recipe(
        steps=STEPS,
        height=SIDE,
        width=SIDE,
        guidance=1.0,
        dtype="bfloat16",
        call={"max_sequence_length": TEXT_LENGTH},
    )
    half = Pipeline(tiny_flux().to(torch.bfloat16), recipe, "tiny")
    ensemble = PipelineEnsemble(half, PROMPTS[:1], SEEDS[:1], Journal())
    run = half.record(PROMPTS[0], SEEDS[0])[0]
    found = ensemble.velocity([0], 3, ensemble.full([0], 3))
    assert run.latents.dtype == torch.bfloat16
    assert ensemble.full([0], 3).dtype == found.dtype == torch.float32
    assert torch.equal(ensemble.full([0], 3), run.latents[3].float())
    assert torch.equal(found, run.velocities[3].float())


def test_a_schedule_is_refined_by_replay_in_the_pipeline(
    pipeline: Pipeline, batched: PipelineEnsemble
) -> None:
    runs = [pipeline.record(*sample)[0] for sample in SAMPLES]
    profile = profile_of(
        [run.velocities[:, 0] for run in runs],
        batched.sigmas,
        ends=[run.latents[-1] for run in runs],
    )
    schedule = solve(profile, [3])
    found = refine(profile, schedule, batched)
    assert found.provenance is not None
    [entry] = found.provenance.plans
    judged = [2, 3, 6, 7]  # the second and the fourth prompt
    with attach(pipeline.pipe, found, budget=3):
        replayed = by_hand(pipeline, judged)
    largest = 4 * float(torch.stack([run.latents[-1] for run in runs]).std(correction=0))
    full = torch.cat([runs[row].latents[-1] for row in judged])
    errors = (replayed - full).double().square().flatten(1).mean(dim=1).numpy()
    assert entry.validated is not None
    assert entry.validated.psnr_latent == pytest.approx(
        np.mean(10 * np.log10(largest**2 / errors)), abs=0.05
    )
