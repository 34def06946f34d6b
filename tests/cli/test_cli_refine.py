"""``solve --refine``: a pipeline's directory in, a schedule proven by replay out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from torch import Tensor

from meancache_plan import load_schedule
from meancache_plan.cli import main
from meancache_plan.schedule.artifact import Schedule
from meancache_plan.schedule.provenance import Quality
from meancache_plan.source.diffusers.ensemble import PipelineEnsemble
from meancache_runtime import Schedule as Replayable
from meancache_runtime import load_schedule as load_at_runtime
from tests.commands import refuse, run
from tests.tiny import SIDE, TEXT_LENGTH, tiny_flux

STEPS = 6
MODEL = ("--refine", "model", "--recipe", "tiny.toml")
Refine = Callable[..., Path]


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny pipeline, a recipe, its profile, and another pipeline."""
    folder = tmp_path_factory.mktemp("fitted")
    tiny_flux().save_pretrained(folder / "model")
    tiny_flux(seed=1).save_pretrained(folder / "other")
    (folder / "fit.txt").write_text("a cat\na dog\nred fox\nsnow\n")
    recipe = (
        f'steps = {STEPS}\nheight = {SIDE}\nwidth = {SIDE}\ndtype = "float32"\nguidance = 1.0\n'
        f"call = {{ max_sequence_length = {TEXT_LENGTH} }}\nseeds = '0'\nprompts = 'fit.txt'\n"
    )
    (folder / "tiny.toml").write_text(recipe)
    (folder / "fewer.toml").write_text(recipe.replace("fit.txt", "two.txt"))
    (folder / "two.txt").write_text("a cat\na dog\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run("calibrate", "model", "--recipe", "tiny.toml")
    return folder


@pytest.fixture
def refined(calibrated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Refine:
    """Refine in the calibrated folder; the schedule's file, in a folder of its own."""
    monkeypatch.chdir(calibrated)

    def refine(*arguments: str, name: str = "schedule.json") -> Path:
        run("solve", *MODEL, *arguments, "-o", str(tmp_path / name))
        return tmp_path / name

    return refine


def validated(schedule: Schedule, budget: int) -> Quality:
    assert schedule.provenance is not None
    record = schedule.provenance.record(budget)
    assert record is not None
    assert record.validated is not None
    return record.validated


def test_the_winner_is_written_with_all_scores_and_the_work_is_dropped(
    refined: Refine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = refined("--budget", "2,3")
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


def test_a_limit_and_batches_are_heeded(refined: Refine) -> None:
    few = load_schedule(refined("--budget", "2", "--limit", "2", name="few.json"))
    assert few.provenance is not None
    assert {score.samples for score in few.provenance.plans[0].candidates} == {1}
    alone, together = (
        validated(load_schedule(refined("--budget", "2", "--batch", n, name=n)), 2) for n in "12"
    )
    assert together.psnr_latent == pytest.approx(alone.psnr_latent, abs=0.1)


def test_a_recipe_with_other_prompts_will_do_if_those_of_the_calibration_are_named(
    refined: Refine,
) -> None:
    named = refined("--budget", "2", "--recipe", "fewer.toml", "--prompts", "fit.txt", name="a")
    assert load_schedule(named).plans == load_schedule(refined("--budget", "2", name="b")).plans


def test_a_wish_for_quality_is_held_against_what_was_validated(
    refined: Refine, capsys: pytest.CaptureFixture[str]
) -> None:
    schedule = load_schedule(refined("--min-psnr", "25"))
    [budget] = schedule.budgets
    found = validated(schedule, budget).psnr_latent
    assert found >= 25
    assert f"budget {budget} reached 25 dB on the prompts" in capsys.readouterr().out


def test_interrupted_it_says_that_work_is_kept_and_goes_on_to_the_same_bytes(
    refined: Refine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    whole = refined("--budget", "2", name="whole.json").read_bytes()
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
        main(["solve", "--budget", "2", *MODEL, "-o", str(tmp_path / "schedule.json")])
    assert stop.value.code not in (0, None)
    assert "finished work is kept" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "schedule.json").exists()
    kept = (tmp_path / "schedule.json.refine" / "results.jsonl").read_bytes()
    assert kept.count(b"\n") >= 8
    assert refined("--budget", "2").read_bytes() == whole
    assert not (tmp_path / "schedule.json.refine").exists()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--refine", "other", "--recipe", "tiny.toml"), "not the one that the profile was"),
        (("--refine", "model", "--recipe", "fewer.toml"), "prompts is"),
        (("--refine", "no/such/model", "--recipe", "tiny.toml"), "no/such/model"),
        (("--refine", "model", "--recipe", "no-such-recipe"), "no-such-recipe"),
        ((*MODEL, "--prompts", "two.txt"), "prompts is"),
        ((*MODEL, "--prompts", "absent.txt"), "absent.txt"),
        ((*MODEL, "--limit", "1"), "a limit of at least 2"),
        ((*MODEL, "--limit", "0"), "a limit of at least 2"),
        ((*MODEL, "--batch", "0"), "a batch of at least 1"),
        ((*MODEL, "--device", "nowhere"), "nowhere"),
        ((*MODEL, "--offload", "cloud"), "cloud"),
        ((*MODEL, "--shift", "2"), "leave out --shift and --sigmas"),
        ((*MODEL, "-o", "missing/schedule.json"), "missing"),
    ],
)
def test_what_cannot_be_refined_is_refused_before_any_work(
    calibrated: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    reason: str,
) -> None:
    monkeypatch.chdir(calibrated)
    before = sorted(calibrated.iterdir())
    assert reason in refuse(capsys, "solve", "--budget", "2", *arguments)
    assert sorted(calibrated.iterdir()) == before
