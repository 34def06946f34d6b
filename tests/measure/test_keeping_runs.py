"""Full runs that calibration keeps in a folder while it measures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from diffusers import FluxPipeline

from meancache_plan.errors import InputError
from meancache_plan.files.journal import Journal
from meancache_plan.fleet.crew import Alone
from meancache_plan.measure.calibrate import calibrate
from meancache_plan.measure.partial_profile import MeasuredSample
from meancache_plan.measure.profile_settings import Measuring
from meancache_plan.measure.shards import Shard, merge_profiles
from meancache_plan.source.full_runs import FullRuns
from tests.measure.sources import PROMPTS, SEEDS, Source, interrupt, kept_runs, source


def test_keeping_runs_changes_nothing_of_the_profile(
    tiny_flux: FluxPipeline, tmp_path: Path
) -> None:
    pipeline = source(tiny_flux)
    wanted = calibrate(pipeline, PROMPTS, SEEDS, tmp_path / "without")
    found = calibrate(pipeline, PROMPTS, SEEDS, tmp_path / "with", runs=tmp_path / "runs")
    assert found.fingerprint == wanted.fingerprint


def test_shards_and_batches_keep_their_parts_in_one_folder(
    tiny_flux: FluxPipeline, tmp_path: Path
) -> None:
    pipeline, runs = source(tiny_flux), tmp_path / "runs"
    parts = [
        calibrate(pipeline, PROMPTS, SEEDS, tmp_path / f"{n}", shard=Shard(n, 2), runs=runs)
        for n in (1, 2)
    ]
    made = FullRuns.within(runs, merge_profiles(parts).settings.full_run)
    assert all(made.find(prompt, SEEDS[0]) for prompt in PROMPTS)
    alone = {file.name: file.read_bytes() for file in kept_runs(runs)}
    together = tmp_path / "together"
    calibrate(pipeline, PROMPTS, SEEDS, tmp_path / "all", Measuring(batch=2), runs=together)
    assert len(alone) == len(PROMPTS)
    assert {file.name for file in kept_runs(together)} == {*alone}


class Noting(Alone[Source]):
    """Works alone, and notes what comes of it."""

    found: list[Any]

    def do(self, begin: Any, units: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        for place, result in super().do(begin, units):
            self.found.append(result)
            yield place, result


def test_a_run_travels_without_the_others_of_its_batch(
    tiny_flux: FluxPipeline, tmp_path: Path
) -> None:
    crew = Noting(source(tiny_flux))
    crew.found = []
    how, runs = Measuring(batch=3), tmp_path / "runs"
    calibrate(crew, PROMPTS, SEEDS, tmp_path / "profile", how, runs=runs)
    samples = [each for each in crew.found if isinstance(each, MeasuredSample)]
    latents = [each.latents for each in samples if each.latents is not None]
    assert [each.job.seed for each in samples if each.latents is not None] == [SEEDS[0]] * 3
    assert all(each.untyped_storage().nbytes() == each.nbytes for each in latents)


def test_an_interrupted_calibration_keeps_what_follows(
    tiny_flux: FluxPipeline, tmp_path: Path
) -> None:
    interrupt(tiny_flux, tmp_path / "profile", after=2)  # a prompt with both seeds
    runs = tmp_path / "runs"
    calibrate(source(tiny_flux), PROMPTS, SEEDS, tmp_path / "profile", runs=runs)
    assert len(kept_runs(runs)) == len(PROMPTS) - 1


def test_a_sample_whose_run_could_not_be_kept_is_made_again(
    tiny_flux: FluxPipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object) -> None:
        raise InputError("the disk is full")

    pipeline, path, runs = source(tiny_flux), tmp_path / "profile", tmp_path / "runs"
    with monkeypatch.context() as patch:
        patch.setattr(FullRuns, "keep", full)
        with pytest.raises(InputError, match="the disk is full"):
            calibrate(pipeline, PROMPTS, SEEDS, path, runs=runs)
    calibrate(pipeline, PROMPTS, SEEDS, path, runs=runs)
    assert len(kept_runs(runs)) == len(PROMPTS)


def test_a_finished_profile_whose_runs_were_not_kept_is_refused(
    tiny_flux: FluxPipeline, tmp_path: Path
) -> None:
    pipeline, path, runs = source(tiny_flux), tmp_path / "profile", tmp_path / "runs"
    calibrate(pipeline, PROMPTS, SEEDS, path, runs=runs)
    pipeline.recorded = 0
    kept_runs(runs)[0].unlink()  # the others are there
    calibrate(pipeline, PROMPTS, SEEDS, path, runs=runs)
    with pytest.raises(InputError, match=r"profile: is finished, and .*none holds none of"):
        calibrate(pipeline, PROMPTS, SEEDS, path, runs=tmp_path / "none")
    assert pipeline.recorded == 0


def test_a_shard_without_the_first_seed_has_no_runs_to_keep(
    tiny_flux: FluxPipeline, tmp_path: Path
) -> None:
    for _ in range(2):  # the second time it is finished
        calibrate(
            source(tiny_flux), PROMPTS, SEEDS, tmp_path / "p", shard=Shard(2, 2), runs=tmp_path
        )
    assert kept_runs(tmp_path) == []


def test_a_folder_that_cannot_be_one_is_refused_before_any_run(
    tiny_flux: FluxPipeline, tmp_path: Path
) -> None:
    pipeline, file, theirs = source(tiny_flux), tmp_path / "file", tmp_path / "theirs"
    file.touch()
    Journal(theirs, {"of": "others"}).keep("part", None)
    for folder, reason in (
        (file, "is a file: give a folder for full runs"),
        (tmp_path / "none" / "runs", "does not exist: make it first"),
        (tmp_path / "profile", "is where the profile is made: give another folder for full runs"),
        (tmp_path / "profile.unfinished", "is where the profile is made: give another folder"),
        (theirs, "is of other work: give another folder for full runs"),
    ):
        with pytest.raises(InputError, match=reason):
            calibrate(pipeline, PROMPTS, SEEDS, tmp_path / "profile", runs=folder)
    assert pipeline.recorded == 0
