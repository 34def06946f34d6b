"""A schedule refined with the pipeline that it is for: which samples, which model, which place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import safetensors.torch
import torch

from meancache_plan.errors import InputError
from meancache_plan.improve.refine_with_pipeline import refine_with
from meancache_plan.measure.calibrate import calibrate
from meancache_plan.measure.profile import Profile
from meancache_plan.plan.solve import solve
from meancache_plan.schedule.artifact import Schedule
from meancache_plan.source.diffusers.pipeline import Pipeline
from meancache_plan.source.recipe import Recipe
from tests.tiny import SIDE, TEXT_LENGTH, tiny_flux

PROMPTS = ("red fox", "tree", "blue", "a cat", "snow")
SEED = 3


@dataclass(frozen=True)
class Calibrated:
    """A pipeline, its profile, and a schedule solved from it."""

    pipeline: Pipeline
    profile: Profile
    schedule: Schedule


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Calibrated:
    folder = tmp_path_factory.mktemp("fitted")
    (folder / "prompts.txt").write_text("\n".join(PROMPTS), encoding="utf-8")
    recipe = Recipe(
        steps=6,
        height=SIDE,
        width=SIDE,
        guidance=1.0,
        dtype="float32",
        call={"max_sequence_length": TEXT_LENGTH},
        prompts=str(folder / "prompts.txt"),
        seeds=f"{SEED}-{SEED + 1}",
    )
    pipeline = Pipeline(tiny_flux(), recipe, "tiny")
    profile = calibrate(pipeline, PROMPTS, [SEED], folder / "profile")
    return Calibrated(pipeline, profile, solve(profile, [2]))


def trajectories(folder: Path) -> list[Path]:
    return list(folder.rglob("trajectory-*.safetensors"))


def test_all_prompts_are_used_with_the_first_seed_and_the_work_is_watched(
    tiny: Calibrated, tmp_path: Path
) -> None:
    told: dict[str, list[tuple[int, int]]] = {}

    def watch(work: str) -> Callable[[int, int], None]:
        told[work] = []
        return lambda done, total: told[work].append((done, total))

    path = tmp_path / "schedule.json"
    found = refine_with(tiny.pipeline, tiny.profile, tiny.schedule, path, batch=2, watch=watch)
    [entry] = found.provenance.plans if found.provenance else []
    assert {score.samples for score in entry.candidates} <= {1, 2}  # prompts 2 and 4 of 5
    assert told["recording"] == [(0, 5), (2, 5), (4, 5), (5, 5)]
    assert told["refining"][-1][0] == told["refining"][-1][1] > 0
    assert [file.name for file in tmp_path.iterdir()] == ["schedule.json.unfinished"]


def test_a_limit_takes_prompts_spread_over_the_list(tiny: Calibrated, tmp_path: Path) -> None:
    path = tmp_path / "schedule.json"
    refine_with(tiny.pipeline, tiny.profile, tiny.schedule, path, limit=2)
    kept = [safetensors.torch.load_file(f)["latents"] for f in trajectories(tmp_path)]
    runs = [tiny.pipeline.record(prompt, SEED)[0].latents for prompt in (PROMPTS[0], PROMPTS[2])]
    assert len(kept) == len(runs)
    assert all(any(torch.equal(each, run) for each in kept) for run in runs)


def test_work_on_other_prompts_is_refused_before_any_run(tiny: Calibrated, tmp_path: Path) -> None:
    given = tiny.pipeline, tiny.profile, tiny.schedule, tmp_path / "schedule.json"
    refine_with(*given, limit=2)
    before = set(tmp_path.rglob("*"))
    with pytest.raises(InputError, match=r"differs in its prompts; choose another file"):
        refine_with(*given, limit=3)
    assert set(tmp_path.rglob("*")) == before


def test_a_limit_beyond_the_list_is_the_list(tiny: Calibrated, tmp_path: Path) -> None:
    path = tmp_path / "schedule.json"
    refine_with(tiny.pipeline, tiny.profile, tiny.schedule, path, limit=100)
    assert len(trajectories(tmp_path)) == len(PROMPTS)


@pytest.mark.parametrize("field", ["fingerprint", "revision"])
def test_another_model_than_the_profiles_is_refused_by_name(
    tiny: Calibrated, tmp_path: Path, field: str
) -> None:
    model = tiny.pipeline.identity().model_copy(update={field: "sha256:00"})
    settings = tiny.profile.settings.model_copy(update={"model": model})
    pipeline = Pipeline(tiny.pipeline.pipe, tiny.pipeline.recipe, "tiny", commit="sha256:11")
    other = replace(tiny.profile, settings=settings)
    with pytest.raises(InputError, match=f"{field} .* here, sha256:00 there"):
        refine_with(pipeline, other, tiny.schedule, tmp_path / "schedule.json")


@pytest.mark.parametrize(("limit", "batch"), [(1, 1), (0, 1), (None, 0)])
def test_numbers_out_of_range_are_refused(
    tiny: Calibrated, tmp_path: Path, limit: int | None, batch: int
) -> None:
    with pytest.raises(InputError, match=r"give 1 or more|give at least 2 prompts"):
        refine_with(
            tiny.pipeline,
            tiny.profile,
            tiny.schedule,
            tmp_path / "schedule.json",
            limit=limit,
            batch=batch,
        )


def test_a_place_that_cannot_be_written_is_refused_before_any_run(
    tiny: Calibrated, tmp_path: Path
) -> None:
    path = tmp_path / "nowhere" / "schedule.json"
    with pytest.raises(InputError, match="make it first"):
        refine_with(tiny.pipeline, tiny.profile, tiny.schedule, path)
    assert list(tmp_path.iterdir()) == []
