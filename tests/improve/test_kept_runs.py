"""Full runs that calibration keeps, and refinement need not make again."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import FluxPipeline

from meancache_plan.errors import InputError
from meancache_plan.improve.refine_with_pipeline import refine_on, refine_with
from meancache_plan.measure.calibrate import calibrate
from meancache_plan.measure.profile import Profile
from meancache_plan.plan.solve import solve
from meancache_plan.schedule.artifact import Schedule
from meancache_plan.source.full_runs import LATENTS, FullRuns
from tests.measure.sources import PROMPTS, SEEDS, Source, kept_runs, source
from tests.tiny import SIDE

STEPS = 6
Calibrated = tuple[Source, Profile, Path]


@pytest.fixture
def calibrated(tiny_flux: FluxPipeline, tmp_path: Path) -> Calibrated:
    """A pipeline, its profile, and the folder with its full runs."""
    (tmp_path / "prompts.txt").write_text("\n".join(PROMPTS), encoding="utf-8")
    made = source(tiny_flux, prompts=str(tmp_path / "prompts.txt"), seeds="0-1")
    runs = tmp_path / "runs"
    return made, calibrate(made, PROMPTS, SEEDS, tmp_path / "profile", runs=runs), runs


def refined(found: Calibrated, runs: Path | None, limit: int | None = None) -> Schedule:
    pipeline, profile, folder = found
    path = folder.parent / f"{'with' if runs else 'without'}.json"
    return refine_with(pipeline, profile, solve(profile, [2]), path, limit=limit, runs=runs)


def spent(schedule: Schedule) -> int:
    effort = schedule.calibrated and schedule.calibrated.effort
    assert effort
    return effort.refinement


def test_kept_are_the_runs_of_the_first_seed_as_they_were_recorded(calibrated: Calibrated) -> None:
    pipeline, profile, folder = calibrated
    runs = FullRuns.within(folder, profile.settings.full_run)
    assert len(kept_runs(folder)) == len(PROMPTS)
    for prompt in PROMPTS:
        part, (run, _) = runs.find(prompt, SEEDS[0]), pipeline.record(prompt, SEEDS[0])
        assert part is not None
        assert part.value == list(profile.sigmas)
        assert torch.equal(part.tensors()[LATENTS], run.latents)
        assert runs.find(prompt, SEEDS[1]) is None


def test_refinement_makes_none_of_them_again_and_finds_the_same(
    calibrated: Calibrated, monkeypatch: pytest.MonkeyPatch
) -> None:
    without = refined(calibrated, None)

    def never(*arguments: Any, **options: Any) -> Any:
        raise AssertionError("a full run was made")

    monkeypatch.setattr(Source, "record_batch", never)
    found = refined(calibrated, calibrated[2])
    assert found.plans == without.plans
    assert spent(without) - spent(found) == STEPS * len(PROMPTS)
    assert kept_runs(calibrated[2].parent / "with.json.unfinished") == []


def lose(found: Calibrated) -> Path:
    """Remove the first prompt's run; return its file."""
    _, profile, folder = found
    lost = FullRuns.within(folder, profile.settings.full_run).find(PROMPTS[0], SEEDS[0])
    assert lost is not None
    lost.file.unlink()
    return lost.file


@pytest.mark.parametrize("limit", [None, 2])
@pytest.mark.parametrize("damaged", [False, True])
def test_what_is_missing_among_them_is_run_and_counted(
    calibrated: Calibrated, limit: int | None, damaged: bool
) -> None:
    folder, whole = calibrated[2], kept_runs(calibrated[2])[0].read_bytes()
    lost = lose(calibrated)
    if damaged:
        lost.write_bytes(whole[:-1])
    without, found = (refined(calibrated, each, limit) for each in (None, folder))
    assert found.plans == without.plans
    assert spent(without) - spent(found) == STEPS * ((limit or len(PROMPTS)) - 1)
    assert len(kept_runs(folder.parent / "with.json.unfinished")) == 1


def test_of_several_seeds_the_first_ones_runs_are_known(calibrated: Calibrated) -> None:
    pipeline, profile, folder = calibrated
    schedule, path = solve(profile, [2]), folder.parent / "several.json"
    found, without = (
        refine_on(pipeline, profile, schedule, PROMPTS, SEEDS, path, runs=runs)
        for runs in (folder, None)
    )
    assert found.plans == without.plans
    assert spent(without) - spent(found) == STEPS * len(PROMPTS)


def test_a_folder_that_cannot_be_written_can_be_read(
    calibrated: Calibrated, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, access = calibrated[2], os.access

    def may(path: Path, mode: int) -> bool:
        return path != folder and access(path, mode)

    before = {file: file.stat().st_mtime_ns for file in (folder, *folder.iterdir())}
    monkeypatch.setattr(os, "access", may)
    assert refined(calibrated, folder).plans
    assert {file: file.stat().st_mtime_ns for file in (folder, *folder.iterdir())} == before


@pytest.mark.parametrize(
    "other",
    [{"steps": STEPS + 1}, {"guidance": 2.0}, {"height": 2 * SIDE}, {"dtype": "bfloat16"}],
    ids=str,
)
def test_runs_of_another_kind_are_refused_by_their_folder(
    calibrated: Calibrated, tmp_path: Path, other: dict[str, Any]
) -> None:
    pipeline, _, folder = calibrated
    recipe = pipeline.recipe.model_copy(update=other)
    changed = Source(pipeline.pipe.to(getattr(torch, recipe.dtype)), recipe, "tiny")
    profile = calibrate(changed, PROMPTS, SEEDS, tmp_path / "changed")
    with pytest.raises(
        InputError, match=r"runs: holds no full run of these samples: give the folder in which"
    ):
        refined((changed, profile, folder), folder)
    assert not (folder.parent / "with.json.unfinished").exists()


@pytest.mark.parametrize(
    "change",
    [
        *({"model": {name: "other"}} for name in ("fingerprint", "revision", "id")),
        *({name: "other"} for name in ("dtype", "attention", "quantisation", "replaces")),
        *({name: {"other": 1.0}} for name in ("scheduler_config", "guidance", "call", "settings")),
        *({name: 9} for name in ("height", "frames", "finer_steps", "still_steps")),
        *({name: (0.5,)} for name in ("sigmas", "latent_shape")),
    ],
    ids=str,
)
def test_runs_are_of_no_other_model_or_call(calibrated: Calibrated, change: dict[str, Any]) -> None:
    _, profile, folder = calibrated
    assert profile.settings.model is not None
    if "model" in change:
        change = {"model": profile.settings.model.model_copy(update=change["model"])}
    settings = profile.settings.model_copy(update=change)
    assert not FullRuns.within(folder, settings.full_run).find(PROMPTS[0], SEEDS[0])


def test_runs_are_the_same_however_they_were_measured(calibrated: Calibrated) -> None:
    _, profile, folder = calibrated
    numbers = {"batch": 2, "max_edge": 3, "max_window": 1, "samples_total": 4, "propagation": False}
    others = {"prompts_sha256": "p", "seeds_sha256": "s", "versions": {}, "command": None}
    settings = profile.settings.model_copy(update={**numbers, **others, "calls": None})
    assert all(getattr(settings, each) != getattr(profile.settings, each) for each in numbers)
    assert profile.settings.calls
    assert FullRuns.within(folder, settings.full_run).find(PROMPTS[0], SEEDS[0])


@pytest.mark.parametrize(
    ("some", "reason"),
    [
        (False, r"step \d begins at noise level .* as in the full runs: refine with the recipe"),
        (True, "those of this pipeline are on different noise levels: refine with the recipe"),
    ],
    ids=["all", "some"],
)
@pytest.mark.parametrize("steps", [STEPS - 1, STEPS + 1])
def test_a_pipeline_on_another_grid_is_refused_though_its_runs_are_known(
    calibrated: Calibrated, some: bool, reason: str, steps: int
) -> None:
    pipeline, profile, folder = calibrated
    if some:
        lose(calibrated)
    other = source(
        pipeline.pipe, **pipeline.recipe.model_copy(update={"steps": steps}).model_dump()
    )
    with pytest.raises(InputError, match=reason):
        refined((other, profile, folder), folder)


def test_a_pipeline_in_another_dtype_is_refused_though_its_runs_are_known(
    calibrated: Calibrated,
) -> None:
    pipeline, profile, folder = calibrated
    recipe = pipeline.recipe.model_copy(update={"dtype": "bfloat16"})
    other = Source(pipeline.pipe.to(torch.bfloat16), recipe, "tiny")
    with pytest.raises(InputError, match="dtype is bfloat16 here, float32 there"):
        refined((other, profile, folder), folder)
