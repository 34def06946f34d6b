"""An evaluation that was interrupted: nothing is made twice, and nothing is lost or mixed up."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from meancache_plan import load_schedule
from meancache_plan.cli import main
from meancache_plan.errors import InputError
from meancache_plan.files.journal import drop, within
from meancache_plan.judge.evaluate import evaluate, with_measured
from meancache_plan.judge.findings import Evaluation
from meancache_plan.judge.sample_folder import SampleFolder, load_samples
from meancache_plan.schedule.artifact import Schedule
from meancache_plan.source.diffusers.pipeline import Pipeline, Sample
from tests.commands import refuse, run
from tests.judge.evaluated import SCHEDULE, SEEDS, tiny_pipeline
from tests.tiny import tiny_flux

PROMPTS = ("red fox", "tree")
SAMPLES = len(PROMPTS) * len(SEEDS) * 9
BUDGETS = (3, 5)


class Counting(Pipeline):
    """A pipeline that counts its samples, and is interrupted before a given one (0-based)."""

    def __init__(self, stop: int | None = None) -> None:
        plain = tiny_pipeline(tiny_flux())
        super().__init__(plain.pipe, plain.recipe, "tiny")
        self.stop, self.made = stop, 0

    def generate(self, *job: Any, **options: Any) -> Sample:
        if self.made == self.stop:
            raise KeyboardInterrupt
        self.made += 1
        return super().generate(*job, **options)


def judged(pipeline: Pipeline, folder: Path | None, **options: Any) -> Evaluation:
    return evaluate(pipeline, SCHEDULE, PROMPTS, SEEDS, budgets=BUDGETS, work=folder, **options)


def timeless(evaluation: Evaluation) -> dict[str, Any]:
    """All but what depends on the clock."""
    found = evaluation.model_dump(mode="json")
    for row in found["rows"]:
        del row["speedup"]
        row["figures"] = {k: v for k, v in row["figures"].items() if "seconds" not in k}
    return found


@pytest.fixture(scope="module")
def whole() -> Evaluation:
    return judged(Counting(), None, shots=2)


def test_interrupted_anywhere_it_goes_on_to_the_same_result(
    tmp_path: Path, whole: Evaluation
) -> None:
    """Again and again: while it warms up, in the first match, and in later ones."""
    made = 0
    stops = (1, 2, 3, 7, 11, 5, 14)
    for stop in stops:
        halted = Counting(stop)
        with pytest.raises(KeyboardInterrupt):
            judged(halted, tmp_path / "work", shots=2)
        made += halted.made
    last = Counting()
    assert timeless(judged(last, tmp_path / "work", shots=2)) == timeless(whole)
    warming = 2
    repeated = warming + 1  # the full sample of the match that was interrupted
    assert made + last.made <= SAMPLES + (len(stops) + 1) * repeated


def test_a_finished_evaluation_is_not_run_again_whatever_is_recorded(
    tmp_path: Path, whole: Evaluation
) -> None:
    first = judged(Counting(), tmp_path / "work", shots=2)
    again = Counting()
    noted = with_measured(SCHEDULE, first)
    second = evaluate(
        again, noted, PROMPTS, SEEDS, budgets=BUDGETS, work=tmp_path / "work", shots=2
    )
    assert again.made == 0
    assert second.rows == first.rows
    for there, here in zip(whole.shots, second.shots, strict=True):
        assert np.array_equal(there.frames, here.frames)
        assert (there.prompt, there.method, there.psnr) == (here.prompt, here.method, here.psnr)


def test_budgets_that_are_added_are_all_that_is_made(tmp_path: Path) -> None:
    evaluate(Counting(), SCHEDULE, PROMPTS[:1], SEEDS[:1], budgets=[3], work=tmp_path / "work")
    again = Counting()
    evaluate(again, SCHEDULE, PROMPTS[:1], SEEDS[:1], budgets=[3, 5], work=tmp_path / "work")
    assert again.made == 2 + 1 + 4  # to warm up, the full one, those of budget 5


@pytest.mark.parametrize("made", [4, 22])
def test_pictures_of_an_interrupted_evaluation_are_those_of_a_whole_one(
    tmp_path: Path, made: int
) -> None:
    whole, halted = SampleFolder(tmp_path / "whole"), SampleFolder(tmp_path / "halted")
    whole.finish(judged(Counting(), None, witness=whole))
    with pytest.raises(KeyboardInterrupt):
        judged(Counting(stop=made), halted.work, witness=halted)
    again = SampleFolder(tmp_path / "halted")
    again.finish(judged(Counting(), again.work, witness=again))
    drop(again.work)
    there, here = load_samples(tmp_path / "whole"), load_samples(tmp_path / "halted")
    assert here.samples == there.samples
    assert {file.name: file.read_bytes() for file in tmp_path.glob("whole/*.png")} == {
        file.name: file.read_bytes() for file in tmp_path.glob("halted/*.png")
    }
    names = [{file.name for file in (tmp_path / each).iterdir()} for each in ("whole", "halted")]
    assert names[0] == names[1]


def test_a_picture_that_was_lost_is_made_again(tmp_path: Path) -> None:
    folder = SampleFolder(tmp_path / "judged")
    judged(Counting(), folder.work, witness=folder)
    lost = tmp_path / "judged" / "002-005.error.png"
    kept = lost.read_bytes()
    lost.unlink()
    again, once_more = Counting(), SampleFolder(tmp_path / "judged")
    once_more.finish(judged(again, once_more.work, witness=once_more))
    assert again.made == 2 + 1 + 1  # to warm up, the full one, the plan's
    assert lost.read_bytes() == kept


def test_a_kept_shot_that_was_lost_is_made_again(tmp_path: Path, whole: Evaluation) -> None:
    judged(Counting(), tmp_path / "work", shots=2)
    for file in list((tmp_path / "work").glob("shot-*"))[:3]:
        file.write_bytes(b"cut")
    found = judged(Counting(), tmp_path / "work", shots=2)
    assert len(found.shots) == len(whole.shots)
    keyed = {(s.prompt, s.method, s.budget): s.frames for s in found.shots}
    for shot in whole.shots:
        assert np.array_equal(keyed[shot.prompt, shot.method, shot.budget], shot.frames)


FEWER = SCHEDULE.model_copy(update={"plans": SCHEDULE.plans[:2]})
CHANGES: list[tuple[str, Callable[[Pipeline], Pipeline], dict[str, Any]]] = [
    ("prompts", lambda p: p, {"prompts": PROMPTS[:1]}),
    ("seeds", lambda p: p, {"seeds": (3, 5)}),
    ("schedule", lambda p: p, {"schedule": FEWER}),
    ("call.guidance_scale", lambda p: tiny_pipeline(p.pipe, guidance=2.0), {}),
    ("model.id", lambda p: Pipeline(p.pipe, p.recipe, "another"), {}),
]


@pytest.mark.parametrize(("name", "change", "options"), CHANGES, ids=[name for name, *_ in CHANGES])
def test_work_of_another_evaluation_is_refused_by_name(
    tmp_path: Path,
    name: str,
    change: Callable[[Pipeline], Pipeline],
    options: dict[str, Any],
) -> None:
    pipeline = Counting(stop=4)
    given = {"schedule": SCHEDULE, "prompts": PROMPTS, "seeds": SEEDS}
    with pytest.raises(KeyboardInterrupt):
        evaluate(pipeline, **given, budgets=BUDGETS, work=tmp_path / "work")
    changed: Any = given | options
    reason = rf"another evaluation, which differs in its {name}.*delete work"
    with pytest.raises(InputError, match=reason):
        evaluate(change(pipeline), **changed, budgets=BUDGETS, work=tmp_path / "work")
    assert pipeline.made == 4


def test_the_command_goes_on_and_leaves_nothing_but_its_files(
    model: Path, cwd: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run("calibrate", "model", "--recipe", "tiny.toml")
    run("solve", "--budget", "3,5")
    command = ("evaluate", "model", "--recipe", "tiny.toml", "--json", "e.json", "--sheet", "s.png")
    run(*command)
    expected = Evaluation.model_validate_json((cwd / "e.json").read_text())
    (cwd / "e.json").unlink()
    made = interrupt(monkeypatch, after=8)
    with pytest.raises(SystemExit) as stopped:
        main(list(command))
    assert stopped.value.code == 130
    assert "the same command goes on" in capsys.readouterr().err
    assert (cwd / "e.json.unfinished").is_dir()
    assert not (cwd / "e.json").exists()
    run(*command, "--record")
    found = Evaluation.model_validate_json((cwd / "e.json").read_text())
    assert timeless(found) == timeless(expected)
    assert made[0] < 8 + 2 + 18
    assert not (cwd / "e.json.unfinished").exists()
    assert load_schedule(cwd / "schedule.json").plans[0].measured is not None


def interrupt(monkeypatch: pytest.MonkeyPatch, after: int) -> list[int]:
    """Have Ctrl-C come once, after so many generated samples; counts them."""
    made, generate = [0], Pipeline.generate

    def counted(self: Pipeline, *args: Any, **kwargs: Any) -> Sample:
        if made[0] == after:
            made[0] += 1
            raise KeyboardInterrupt
        made[0] += 1
        return generate(self, *args, **kwargs)

    monkeypatch.setattr(Pipeline, "generate", counted)
    return made


def test_the_command_refuses_a_folder_of_another_evaluation(
    model: Path, cwd: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run("calibrate", "model", "--recipe", "tiny.toml")
    run("solve", "--budget", "3")
    command = ("evaluate", "model", "--recipe", "tiny.toml", "--samples", "judged")
    interrupt(monkeypatch, after=4)
    with pytest.raises(SystemExit) as stopped:
        main(list(command))
    assert stopped.value.code == 130
    refused = refuse(capsys, *command, "--seeds", "8")
    assert "differs in its seeds[0] (" in refused
    assert "choose another place to write to" in refused
    shutil.rmtree(within(cwd / "judged"))
    run(*command, "--seeds", "8")
    assert not (within(cwd / "judged")).exists()


def test_an_evaluation_that_is_refused_leaves_no_folder_behind(
    model: Path, cwd: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("calibrate", "model", "--recipe", "tiny.toml")
    run("solve", "--budget", "3")
    content = json.loads((cwd / "schedule.json").read_text())
    content["model"]["fingerprint"] = "class:QwenImageTransformer2DModel"
    (cwd / "other.json").write_text(json.dumps(content))
    before = set(cwd.iterdir())
    command = ("evaluate", "model", "--recipe", "tiny.toml", "--schedule", "other.json")
    assert "another denoiser" in refuse(capsys, *command)
    assert set(cwd.iterdir()) == before


def test_schedules_of_one_file_name_do_not_share_a_folder(
    model: Path, cwd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("calibrate", "model", "--recipe", "tiny.toml")
    run("solve", "--budget", "3")
    digest = hashlib.sha256((cwd / "schedule.json").read_bytes()).hexdigest()
    command = ("evaluate", "model", "--recipe", "tiny.toml")
    interrupt(monkeypatch, after=5)
    with pytest.raises(SystemExit) as stopped:
        main(list(command))
    assert stopped.value.code == 130
    kept = [cwd / f"schedule.json.{digest[:8]}.unfinished"]
    assert list(cwd.glob("*.unfinished")) == kept
    run("solve", "--budget", "5")
    run(*command)
    assert list(cwd.glob("*.unfinished")) == kept


def test_schedules_of_the_runtime_tell_contenders_apart() -> None:
    other: Schedule = SCHEDULE.model_copy(
        update={"plans": (SCHEDULE.plans[0].model_copy(update={"knots": (0, 2, 3)}),)}
    )
    assert repr(SCHEDULE.replayable()) != repr(other.replayable())
