"""``refine``: a schedule and its pipeline's directory in, a schedule proven by replay out."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from torch import Tensor

from meancache_plan import load_schedule
from meancache_plan.cli import main
from meancache_plan.schedule.artifact import Schedule
from meancache_plan.schedule.provenance import Quality
from meancache_plan.source import catalog
from meancache_plan.source.diffusers.pipeline import Pipeline
from meancache_plan.source.diffusers.pipeline_ensemble import PipelineEnsemble
from meancache_runtime import Schedule as Replayable
from meancache_runtime import load_schedule as load_at_runtime
from tests.commands import refuse, run, write_profile
from tests.tiny import tiny_flux
from tests.tiny_model import OPTIONS as MODEL
from tests.tiny_model import write_model

pytestmark = pytest.mark.early(4)

STEPS = 6
Refine = Callable[..., Path]


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny pipeline, a recipe, its profile, and another pipeline."""
    folder = tmp_path_factory.mktemp("fitted")
    write_model(folder, tiny_flux(), STEPS, ("a cat", "a dog", "red fox", "snow"))
    tiny_flux(seed=1).save_pretrained(folder / "other")
    recipe = (folder / "tiny.toml").read_text()
    (folder / "fewer.toml").write_text(recipe.replace("fit.txt", "two.txt"))
    (folder / "two.txt").write_text("a cat\na dog\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run("calibrate", "model", "--recipe", "tiny.toml")
        run("solve", "--budget", "2")
        run("solve", "--budget", "2,3", "-o", "both.json")
    return folder


@pytest.fixture
def refined(calibrated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Refine:
    """Refine in the calibrated folder; the schedule's file, in a folder of its own."""
    monkeypatch.chdir(calibrated)

    def refine(*arguments: str, name: str = "schedule.json") -> Path:
        run("refine", *arguments, *MODEL, "-o", str(tmp_path / name))
        return tmp_path / name

    return refine


@pytest.fixture(scope="module")
def whole(calibrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What refining the schedule makes, with nothing else asked for and without interruption."""
    path = tmp_path_factory.mktemp("whole") / "whole.json"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(calibrated)
        run("refine", *MODEL, "-o", str(path))
    return path


def validated(schedule: Schedule, budget: int) -> Quality:
    assert schedule.provenance is not None
    record = schedule.provenance.record(budget)
    assert record is not None
    assert record.validated is not None
    return record.validated


def test_the_winner_is_written_with_all_scores_and_the_work_is_dropped(
    refined: Refine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = refined("both.json")
    schedule = load_schedule(path)
    assert load_at_runtime(path) == schedule.replayable()
    made = schedule.provenance
    assert made is not None
    assert sorted([*schedule.budgets, *(entry.budget for entry in made.pruned)]) == [2, 3]
    assert (made.planner, made.predictors) == ("path", ("adams",))
    for record in made.plans:
        scores = {score.name: score for score in record.candidates}
        assert len(scores) == len(record.candidates)
        assert scores.keys() >= {"as solved", "uniform hold", "uniform adams", "fewer steps"}
        best = scores[record.origin]
        assert best.samples == 2, "half of the prompts"
        assert best.psnr_latent == validated(schedule, record.budget).psnr_latent
        assert best.psnr_latent > scores["fewer steps"].psnr_latent
    assert [file.name for file in tmp_path.iterdir()] == ["schedule.json"]
    assert f"wrote {path}" in capsys.readouterr().out


def test_a_limit_and_batches_are_heeded(refined: Refine, whole: Path) -> None:
    few = load_schedule(refined("--limit", "2", name="few.json"))
    assert few.provenance is not None
    assert {score.samples for score in few.provenance.plans[0].candidates} == {1}
    together = validated(load_schedule(refined("--batch", "2", name="together.json")), 2)
    alone = validated(load_schedule(whole), 2)
    assert together.psnr_latent == pytest.approx(alone.psnr_latent, abs=0.1)


def test_full_runs_that_calibrate_kept_are_not_made_again(
    refined: Refine,
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    profile, runs = str(tmp_path / "profile"), str(tmp_path / "runs")
    run("calibrate", "model", "--recipe", "tiny.toml", "--runs", runs, "-o", profile)
    assert "runs: full runs of 4 of 4 prompts" in " ".join(capsys.readouterr().out.split())

    def never(*arguments: object, **options: object) -> None:
        raise AssertionError("a full run was made")

    monkeypatch.setattr(Pipeline, "record_batch", never)
    found, wanted = load_schedule(refined("--runs", runs)), load_schedule(whole)
    assert found.plans == wanted.plans
    assert found.calibrated
    assert wanted.calibrated
    assert found.calibrated.commands == wanted.calibrated.commands


def test_a_recipe_with_other_prompts_will_do_if_those_of_the_calibration_are_named(
    refined: Refine, whole: Path
) -> None:
    named = refined("--recipe", "fewer.toml", "--prompts", "fit.txt", name="a")
    assert load_schedule(named).plans == load_schedule(whole).plans


def test_the_smallest_budget_that_reaches_a_quality_is_kept_alone(refined: Refine) -> None:
    schedule = load_schedule(refined("both.json", "--min-psnr", "25"))
    [budget] = schedule.budgets
    assert validated(schedule, budget).psnr_latent >= 25


def test_without_another_file_the_schedule_is_refined_in_place(
    calibrated: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(calibrated)
    shutil.copy("schedule.json", tmp_path / "mine.json")
    run("refine", str(tmp_path / "mine.json"), *MODEL)
    assert (tmp_path / "mine.json").read_bytes() == whole.read_bytes()


def test_the_profile_is_found_beside_the_schedule_whatever_else_lies_here(
    calibrated: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(calibrated)
    (tmp_path / "here").mkdir()
    for name in ("meancache.profile.safetensors", "schedule.json"):
        shutil.copy(name, tmp_path / name)
    for name in ("fit.txt", "held.txt", "tiny.toml"):
        shutil.copy(name, tmp_path / "here" / name)
    monkeypatch.chdir(tmp_path / "here")
    write_profile(Path(), 8)
    model = ("--model", str(calibrated / "model"), "--recipe", "tiny.toml")
    run("refine", "../schedule.json", *model)
    assert load_schedule(tmp_path / "schedule.json").plans == load_schedule(whole).plans


def test_reliability_is_told_of_refined_plans_as_far_as_it_was_asked_for(
    refined: Refine, whole: Path
) -> None:
    run("solve", "--budget", "2", "--no-reliability", "-o", "unasked.json")
    asked, unasked = load_schedule(whole), load_schedule(refined("unasked.json"))
    assert asked.provenance is not None
    assert asked.provenance.reliability is not None
    assert unasked.provenance is not None
    assert unasked.provenance.reliability is None
    assert asked.plans == unasked.plans


def test_interrupted_it_says_that_work_is_kept_and_goes_on_to_the_same_bytes(
    refined: Refine,
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    replay, asked = PipelineEnsemble.replay, list[int]()

    def counted(
        self: PipelineEnsemble, rows: Sequence[int], schedule: Replayable, budget: int
    ) -> Tensor:
        asked.append(budget)
        if len(asked) == 9:
            raise KeyboardInterrupt
        return replay(self, rows, schedule, budget)

    monkeypatch.setattr(PipelineEnsemble, "replay", counted)
    with pytest.raises(SystemExit) as stop:
        main(["refine", *MODEL, "-o", str(tmp_path / "schedule.json")])
    assert stop.value.code not in (0, None)
    assert "what was finished is kept" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "schedule.json").exists()
    assert len(list((tmp_path / "schedule.json.unfinished").glob("replay-*"))) >= 8
    assert refined().read_bytes() == whole.read_bytes()
    assert not (tmp_path / "schedule.json.unfinished").exists()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--model", "other", "--recipe", "tiny.toml"), "not the one that the profile was"),
        (("--model", "model", "--recipe", "fewer.toml"), "prompts is"),
        (("--model", "no/such/model", "--recipe", "tiny.toml"), "no/such/model"),
        (("--model", "model", "--recipe", "no-such-recipe"), "no-such-recipe"),
        ((), "--model"),
        ((*MODEL, "--prompts", "two.txt"), "prompts is"),
        ((*MODEL, "--prompts", "absent.txt"), "absent.txt"),
        ((*MODEL, "--limit", "1"), "--limit"),
        ((*MODEL, "--batch", "0"), "--batch"),
        ((*MODEL, "--min-psnr", "0"), "--min-psnr 0"),
        ((*MODEL, "--device", "nowhere"), "nowhere"),
        ((*MODEL, "--offload", "cloud"), "cloud"),
        ((*MODEL, "-o", "missing/schedule.json"), "missing"),
        (("absent.json", *MODEL), "absent.json"),
        ((*MODEL, "--profile", "absent"), "absent: no such file"),
        ((*MODEL, "--profile", "another"), "was solved from another profile: from sha256:"),
        (("five.json", *MODEL), "for a grid other than the calibrated one"),
        (("table.json", *MODEL), "does not say which profile"),
        ((*MODEL, "--runs", "folder"), "folder: holds no full run of these samples"),
    ],
)
def test_what_cannot_be_refined_is_refused_before_any_work(
    calibrated: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    reason: str,
) -> None:
    for path in calibrated.iterdir():
        (tmp_path / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    run("solve", "--budget", "2", "--steps", "5", "-o", "five.json")
    shutil.copy(catalog.schedule_files()["qwen-image/50-steps"], "table.json")
    (tmp_path / "folder").mkdir()
    shutil.move(write_profile(tmp_path / "folder", 8), "another")
    before = sorted(tmp_path.iterdir())
    capsys.readouterr()
    assert reason in refuse(capsys, "refine", *arguments)
    assert sorted(tmp_path.iterdir()) == before


def test_without_a_profile_it_says_where_it_looked(
    calibrated: Path, cwd: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(calibrated / "schedule.json", cwd / "schedule.json")
    message = refuse(capsys, "refine", "--model", str(calibrated / "model"))
    assert "no profile at meancache.profile.safetensors" in message
    assert "--profile" in message
