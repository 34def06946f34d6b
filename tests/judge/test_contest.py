"""The contest: who fails becomes a row, finished samples are kept, figures are what they say."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from diffusers import FluxPipeline

from meancache_plan.errors import InputError
from meancache_plan.fleet.crew import Crew
from meancache_plan.judge import one_sample_by_all
from meancache_plan.judge.compare.peers import few_step_solvers, plan_peers
from meancache_plan.judge.conclusions import conclude
from meancache_plan.judge.contender import Contender, unavailable
from meancache_plan.judge.evaluate import evaluate
from meancache_plan.judge.finished_samples import Run
from meancache_plan.judge.run_contest import Running, run
from meancache_plan.judge.sample_cost import compute
from meancache_runtime.errors import ModelMismatchError
from tests.judge.contests import PROMPTS, SEEDS, compared, contest
from tests.judge.tiny_comparison import PROMPT, SCHEDULE, STEPS, comparison, tiny_pipeline


@contextmanager
def exploding(_pipeline: Any) -> Generator[NoReturn]:
    raise RuntimeError("no kernel\nfor this")
    yield


class Nobody(Crew[Any]):
    """Workers that have nothing to do."""

    def do(self, begin: Any, units: Sequence[Any]) -> Iterator[Any]:
        assert not units
        return iter(())

    def changed(self, change: Any) -> NoReturn:
        raise NotImplementedError


def test_samples_that_are_known_are_nobodys_work(tiny_flux: FluxPipeline, tmp_path: Path) -> None:
    held = contest(tiny_flux, prompts=PROMPTS[:1], seeds=SEEDS[:1])
    made = run(held, tmp_path / "work")
    programme = held.programme()
    again = Running(programme, programme.journal(tmp_path / "work"))
    assert again.by(Nobody(), lambda _: held) == made


def test_figures_of_any_device_name_none(tiny_flux: FluxPipeline) -> None:
    held = contest(tiny_flux)
    held.pipeline.any_device = True
    programme = held.programme()
    assert programme.circumstances["device"] == programme.settings["device"] == "any device"
    versions = programme.settings["versions"]
    assert versions["device"] == "any"
    assert "threads" not in versions


def test_a_peer_that_fails_is_a_row_that_says_why_and_the_others_go_on(
    tiny_flux: FluxPipeline,
) -> None:
    bad = Contender("bad", "always", STEPS, exploding)
    absent = Contender("absent", "here", STEPS, unavailable("is not installed"))
    found = compared(contest(tiny_flux, bad, absent, *plan_peers.fewer_steps("Euler", [4])))
    assert [row.failure for row in found.rows] == [
        None,
        "RuntimeError: no kernel (on 'red fox')",
        "is not installed",
        None,
    ]
    assert [row.method for row in found.failures()] == ["bad", "absent"]
    assert [row.method for row in found.measured()] == ["fewer steps, Euler"]


def test_a_long_reason_on_a_long_prompt_is_cut(tiny_flux: FluxPipeline) -> None:
    @contextmanager
    def wordy(_pipeline: Any) -> Generator[NoReturn]:
        raise RuntimeError("no " * 1000)
        yield

    contender = Contender("wordy", "x", STEPS, wordy)
    failure = compared(contest(tiny_flux, contender, prompts=("fox " * 500,))).rows[1].failure
    assert failure is not None
    assert failure.startswith("RuntimeError: no no")
    assert len(failure) < 300


def test_a_peer_that_fails_later_is_a_failure_as_a_whole(tiny_flux: FluxPipeline) -> None:
    entered: list[int] = []

    @contextmanager
    def later(_pipeline: Any) -> Generator[None]:
        entered.append(1)
        if len(entered) > 4:
            raise MemoryError
        yield

    found = compared(contest(tiny_flux, Contender("tiring", "x", STEPS, later)))
    assert found.rows[1].failure == "MemoryError (on 'tree')"
    assert len(entered) == 1 + 4  # on the first sample it is counted as well


def test_figures_are_those_of_an_evaluation(tiny_flux: FluxPipeline) -> None:
    contenders = (*plan_peers.plans("plan", SCHEDULE, [3]), *plan_peers.fewer_steps("Euler", [3]))
    found = compared(contest(tiny_flux, *contenders))
    known = evaluate(tiny_pipeline(tiny_flux), SCHEDULE, PROMPTS, SEEDS, budgets=[3])
    assert found.latent_range == pytest.approx(known.latent_range)
    for row, other in zip(
        found.rows[1:], (known.row("plan", 3), known.row("fewer-steps", 3)), strict=True
    ):
        for name in ("psnr_latent", "psnr", "ssim", "flip"):
            assert row.figure(name).samples == pytest.approx(other.figure(name).samples)
            assert row.figure(name) == other.figure(name)
        assert (row.mean("calls"), row.mean("refreshes")) == (3, 3)


def test_relative_seconds_are_those_of_each_sample_over_its_own_full_run(
    tiny_flux: FluxPipeline,
) -> None:
    given = contest(tiny_flux, *plan_peers.fewer_steps("Euler", [4]))
    samples = run(given)
    found = conclude(given.programme(), samples)["rows"][1]
    own, full = (
        np.array([each.figures["loop_seconds"] for each in samples[key] if isinstance(each, Run)])
        for key in (given.contenders[0].key, given.full.key)
    )
    assert found.figure("relative_seconds").samples == pytest.approx(own / full)
    assert found.mean("relative_seconds") == pytest.approx(float((own / full).mean()))


def test_the_full_run_has_an_error_of_its_own_against_the_flow(tiny_flux: FluxPipeline) -> None:
    pipeline = tiny_pipeline(tiny_flux)
    finer = few_step_solvers.flow(pipeline, PROMPT, 4 * STEPS)
    assert finer is not None
    same = dataclasses.replace(finer, name="the same")
    found = compared(contest(tiny_flux, same, flow=finer))
    full, exact = found.rows
    assert full.mean("psnr_latent") == 120
    assert full.mean("psnr_flow") < 100
    assert full.mean("psnr_flow") == pytest.approx(exact.mean("psnr_latent"))
    assert exact.mean("psnr_flow") == 120


def test_an_interrupted_contest_goes_on_where_it_was(
    tiny_flux: FluxPipeline, tmp_path: Path
) -> None:
    made: list[int] = []

    @contextmanager
    def noted(_pipeline: Any) -> Generator[None]:
        made.append(1)
        if len(made) == 1 + 4:
            raise KeyboardInterrupt
        yield

    contender = Contender("noted", "x", STEPS, noted)
    given, kept = contest(tiny_flux, contender), tmp_path / "kept"
    with pytest.raises(KeyboardInterrupt):
        run(given, kept)
    first = run(given, kept)
    assert len(made) == 1 + 4 + 2  # three samples were kept, the fourth is made again, and counted
    assert run(given, kept) == first
    assert len(made) == 1 + 4 + 2


def test_what_was_counted_before_an_interruption_is_not_counted_again(
    tiny_flux: FluxPipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered: list[str] = []
    counted: list[str] = []

    def counting(pipeline: Any, contender: Contender, prompt: str, seed: int) -> Any:
        counted.append(contender.name)
        return compute(pipeline, contender, prompt, seed)

    def contender(name: str, interrupted: bool = False) -> Contender:
        @contextmanager
        def enter(_pipeline: Any) -> Generator[None]:
            entered.append(name)
            if interrupted and entered.count(name) == 1:
                raise KeyboardInterrupt
            yield

        return Contender(name, "x", 2, enter)

    monkeypatch.setattr(one_sample_by_all, "compute", counting)
    contenders = contender("first"), contender("second", interrupted=True)
    given, kept = (
        contest(tiny_flux, *contenders, prompts=PROMPTS[:1], seeds=SEEDS[:1]),
        tmp_path / "k",
    )
    with pytest.raises(KeyboardInterrupt):
        run(given, kept)
    found = compared(given, kept)
    assert counted == ["full", "first", "second", "second"]
    assert [row.mean("refreshes") for row in found.rows] == [STEPS, 2, 2]
    assert entered.count("first") == 1 + 2  # it runs once more before it is timed


def test_a_row_has_the_memory_that_was_counted_and_keeps_it(
    tiny_flux: FluxPipeline, tmp_path: Path
) -> None:
    given = contest(tiny_flux, *plan_peers.plans("plan", SCHEDULE, [3]))
    counted = [
        compute(given.pipeline, contender, PROMPTS[0], SEEDS[0]).memory
        for contender in (given.full, *given.contenders)
    ]
    for found in (compared(given, tmp_path / "kept"), compared(given, tmp_path / "kept")):
        assert [row.mean("memory") for row in found.rows] == counted
        assert found.memory()["plan"] == (counted[1] / counted[0],) * 2


def test_everyone_has_run_before_anyone_is_timed_and_then_in_a_drawn_order(
    tiny_flux: FluxPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []

    def noted(kind: str, original: Any) -> Any:
        def run(pipeline: Any, contender: Contender, prompt: str, seed: int) -> Any:
            ran.append(f"{kind} {contender.name}")
            return original(pipeline, contender, prompt, seed)

        return run

    monkeypatch.setattr(one_sample_by_all, "make", noted("timed", one_sample_by_all.make))
    monkeypatch.setattr(one_sample_by_all, "compute", noted("counted", one_sample_by_all.compute))
    contenders = plan_peers.fewer_steps("Euler", [2, 3, 4])
    run(contest(tiny_flux, *contenders))
    assert ran[0] == "timed full"  # what all are judged by; its time is not used
    assert sorted(ran[1:5]) == sorted([*["counted fewer steps, Euler"] * 3, "counted full"])
    rounds = [ran[5:9], *(ran[start + 1 : start + 5] for start in (9, 14, 19))]
    assert all(len(each) == 4 and each.count("timed full") == 1 for each in rounds)
    assert len({each.index("timed full") for each in rounds}) > 1
    assert len(ran) == 9 + 3 * 5


def test_the_full_run_that_fails_ends_the_contest(tiny_flux: FluxPipeline) -> None:
    given = contest(tiny_flux, *plan_peers.fewer_steps("Euler", [2]))
    tiny_flux.transformer.proj_out.weight.data.fill_(float("nan"))
    with pytest.raises(InputError, match="not finite"):
        run(given)


def test_a_folder_of_another_comparison_is_refused(tiny_flux: FluxPipeline, tmp_path: Path) -> None:
    run(contest(tiny_flux, *plan_peers.fewer_steps("Euler", [2])), tmp_path / "kept")
    other = contest(tiny_flux, *plan_peers.fewer_steps("Euler", [3]))
    with pytest.raises(InputError, match="another comparison, which differs in its peers;"):
        run(other, tmp_path / "kept")


def test_a_schedule_that_does_not_fit_the_pipeline_is_no_row_but_an_error(
    tiny_flux: FluxPipeline,
) -> None:
    other = SCHEDULE.model_copy(update={"model": comparison().model})
    with pytest.raises(ModelMismatchError, match="another denoiser"):
        run(contest(tiny_flux, *plan_peers.plans("plan", other)))
    found = compared(contest(tiny_flux, *plan_peers.plans("rival", other, [3])))
    assert "another denoiser" in str(found.rows[1].failure)


def test_a_plan_that_overflows_is_a_row_and_the_others_go_on(tiny_flux: FluxPipeline) -> None:
    @contextmanager
    def overflowing(pipeline: Any) -> Generator[None]:
        def broken(_module: Any, _inputs: Any, output: tuple[Any]) -> tuple[Any]:
            return (output[0] * np.inf,)

        handle = pipeline.pipe.transformer.register_forward_hook(broken)
        yield
        handle.remove()

    plan = Contender("plan", "B = 3", STEPS, overflowing, budget=3)
    found = compared(contest(tiny_flux, plan, *plan_peers.fewer_steps("Euler", [2])))
    assert [row.failure for row in found.rows] == [
        None,
        "the sample is not finite (on 'red fox')",
        None,
    ]


def test_peers_that_cannot_be_told_apart_are_refused(tiny_flux: FluxPipeline) -> None:
    twice = plan_peers.fewer_steps("Euler", [3, 3])
    with pytest.raises(InputError, match="rename"):
        contest(tiny_flux, *twice)


def test_a_contest_needs_samples(tiny_flux: FluxPipeline) -> None:
    with pytest.raises(InputError, match="at least one prompt"):
        contest(tiny_flux, prompts=())
