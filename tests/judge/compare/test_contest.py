"""The contest: who fails becomes a row, finished samples are kept, figures are what they say."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from diffusers import FluxPipeline

from meancache_plan.errors import InputError
from meancache_plan.judge.compare import contest as module
from meancache_plan.judge.compare.conclude import conclude
from meancache_plan.judge.compare.contest import Contest, run
from meancache_plan.judge.compare.cost import compute
from meancache_plan.judge.compare.peer import Peer, unavailable
from meancache_plan.judge.compare.peers import plans, solvers
from meancache_plan.judge.compare.result import Comparison, Figures, Row
from meancache_plan.judge.evaluate import evaluate
from meancache_runtime.errors import ModelMismatchError
from tests.judge.compare.given import PROMPT, SCHEDULE, SEED, STEPS, comparison, tiny_pipeline

PROMPTS, SEEDS = ("red fox", "tree"), (3, 4)


@contextmanager
def exploding(_pipeline: Any) -> Generator[NoReturn]:
    raise RuntimeError("no kernel\nfor this")
    yield


def contest(pipe: FluxPipeline, *peers: Peer, **options: Any) -> Contest:
    return Contest(tiny_pipeline(pipe), STEPS, peers, PROMPTS, SEEDS, **options)


def compared(given: Contest) -> Comparison:
    return conclude(given, run(given), "sha256:0", 1)


def figures(row: Row) -> Figures:
    assert row.figures is not None
    return row.figures


def test_a_peer_that_fails_is_a_row_that_says_why_and_the_others_go_on(
    tiny_flux: FluxPipeline,
) -> None:
    bad = Peer("bad", "always", STEPS, exploding)
    absent = Peer("absent", "here", STEPS, unavailable("is not installed"))
    found = compared(contest(tiny_flux, bad, absent, *plans.fewer_steps("Euler", [4])))
    assert [row.failure for row in found.rows] == [
        None,
        "RuntimeError: no kernel (on 'red fox')",
        "is not installed",
        None,
    ]
    assert [row.peer for row in found.failures()] == ["bad", "absent"]
    assert [row.peer for row in found.measured()] == ["fewer steps, Euler"]


def test_a_long_reason_on_a_long_prompt_is_cut(tiny_flux: FluxPipeline) -> None:
    @contextmanager
    def wordy(_pipeline: Any) -> Generator[NoReturn]:
        raise RuntimeError("no " * 1000)
        yield

    peer = Peer("wordy", "x", STEPS, wordy)
    given = Contest(tiny_pipeline(tiny_flux), STEPS, (peer,), ("fox " * 500,), SEEDS)
    failure = compared(given).rows[1].failure
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

    found = compared(contest(tiny_flux, Peer("tiring", "x", STEPS, later)))
    assert found.rows[1].failure == "MemoryError (on 'tree')"
    assert len(entered) == 1 + 4  # on the first sample it is counted as well


def test_figures_are_those_of_an_evaluation(tiny_flux: FluxPipeline) -> None:
    peers = (*plans.plans("plan", SCHEDULE, [3]), *plans.fewer_steps("Euler", [3]))
    found = compared(contest(tiny_flux, *peers))
    known = evaluate(tiny_pipeline(tiny_flux), SCHEDULE, PROMPTS, SEEDS, budgets=[3])
    assert found.latent_range == pytest.approx(known.latent_range)
    for row, other in zip(
        found.rows[1:], (known.row("plan", 3), known.row("fewer-steps", 3)), strict=True
    ):
        assert row.per_sample is not None
        for name in ("psnr_latent", "psnr", "ssim", "flip"):
            spread = getattr(figures(row), name)
            assert getattr(row.per_sample, name) == pytest.approx(getattr(other.per_sample, name))
            assert spread.mean == pytest.approx(getattr(other, name))
            assert spread.interval == pytest.approx(getattr(other, f"{name}_interval"))
            assert spread.worst == pytest.approx(getattr(other, f"{name}_worst"))
        assert (figures(row).calls.mean, figures(row).refreshes.mean) == (3, 3)


def test_relative_seconds_are_those_of_each_sample_over_its_own_full_run(
    tiny_flux: FluxPipeline,
) -> None:
    given = contest(tiny_flux, *plans.fewer_steps("Euler", [4]))
    samples = run(given)
    found = conclude(given, samples, "sha256:0", 1).rows[1]
    keys = (given.peers[0].key, given.full.key)
    seconds = np.array([[sample.outcomes[k].seconds for k in keys] for sample in samples])  # type: ignore[union-attr]
    assert figures(found).relative_seconds.mean == pytest.approx(
        float((seconds[:, 0] / seconds[:, 1]).mean())
    )
    assert found.per_sample is not None
    assert found.per_sample.relative_seconds == pytest.approx(seconds[:, 0] / seconds[:, 1])


def test_the_full_run_has_an_error_of_its_own_against_the_flow(tiny_flux: FluxPipeline) -> None:
    pipeline = tiny_pipeline(tiny_flux)
    finer = solvers.exact(pipeline, PROMPT, 4 * STEPS)
    assert finer is not None
    same = dataclasses.replace(finer, name="the same")
    found = compared(contest(tiny_flux, same, exact=finer))
    full, exact = found.rows
    assert figures(full).psnr_latent.mean == 120
    own = figures(full).psnr_flow
    assert own is not None
    assert own.mean < 100
    assert own.mean == pytest.approx(figures(exact).psnr_latent.mean)
    assert getattr(figures(exact).psnr_flow, "mean", None) == 120


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

    peer = Peer("noted", "x", STEPS, noted)
    given = contest(tiny_flux, peer, folder=tmp_path / "kept")
    with pytest.raises(KeyboardInterrupt):
        run(given)
    first = run(given)
    assert len(made) == 1 + 4 + 2  # three samples were kept, the fourth is made again, and counted
    assert run(given) == first
    assert len(made) == 1 + 4 + 2


def test_a_row_has_the_memory_that_was_counted_and_keeps_it(
    tiny_flux: FluxPipeline, tmp_path: Path
) -> None:
    given = contest(tiny_flux, *plans.plans("plan", SCHEDULE, [3]), folder=tmp_path / "kept")
    counted = [
        compute(given.pipeline, peer, PROMPTS[0], SEEDS[0]).memory
        for peer in (given.full, *given.peers)
    ]
    for found in (compared(given), compared(given)):
        spreads = [figures(row).memory for row in found.rows]
        assert [spread and spread.mean for spread in spreads] == counted
        assert found.memory()["plan"] == (counted[1] / counted[0],) * 2


def test_everyone_has_run_before_anyone_is_timed_and_then_in_a_drawn_order(
    tiny_flux: FluxPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []

    def noted(kind: str, original: Any) -> Any:
        def run(pipeline: Any, peer: Peer, prompt: str, seed: int) -> Any:
            ran.append(f"{kind} {peer.name}")
            return original(pipeline, peer, prompt, seed)

        return run

    monkeypatch.setattr(module, "make", noted("timed", module.make))
    monkeypatch.setattr(module, "compute", noted("counted", module.compute))
    peers = plans.fewer_steps("Euler", [2, 3, 4])
    run(contest(tiny_flux, *peers))
    assert ran[0] == "timed full"  # what all are judged by; its time is not used
    assert sorted(ran[1:5]) == sorted([*["counted fewer steps, Euler"] * 3, "counted full"])
    rounds = [ran[5:9], *(ran[start + 1 : start + 5] for start in (9, 14, 19))]
    assert all(len(each) == 4 and each.count("timed full") == 1 for each in rounds)
    assert len({each.index("timed full") for each in rounds}) > 1
    assert len(ran) == 9 + 3 * 5


def test_the_full_run_that_fails_ends_the_contest(tiny_flux: FluxPipeline) -> None:
    given = contest(tiny_flux, *plans.fewer_steps("Euler", [2]))
    tiny_flux.transformer.proj_out.weight.data.fill_(float("nan"))
    with pytest.raises(InputError, match="not finite"):
        run(given)


def test_a_folder_of_another_comparison_is_refused(tiny_flux: FluxPipeline, tmp_path: Path) -> None:
    run(contest(tiny_flux, *plans.fewer_steps("Euler", [2]), folder=tmp_path / "kept"))
    other = contest(tiny_flux, *plans.fewer_steps("Euler", [3]), folder=tmp_path / "kept")
    with pytest.raises(InputError, match="another comparison: peers"):
        run(other)


def test_a_schedule_that_does_not_fit_the_pipeline_is_no_row_but_an_error(
    tiny_flux: FluxPipeline,
) -> None:
    other = SCHEDULE.model_copy(update={"model": comparison().model})
    with pytest.raises(ModelMismatchError, match="another denoiser"):
        run(contest(tiny_flux, *plans.plans("plan", other)))
    found = compared(contest(tiny_flux, *plans.plans("rival", other, [3])))
    assert str(found.rows[1].failure).startswith("ModelMismatchError")


def test_a_plan_that_overflows_is_a_row_and_the_others_go_on(tiny_flux: FluxPipeline) -> None:
    @contextmanager
    def overflowing(pipeline: Any) -> Generator[None]:
        def broken(_module: Any, _inputs: Any, output: tuple[Any]) -> tuple[Any]:
            return (output[0] * np.inf,)

        handle = pipeline.pipe.transformer.register_forward_hook(broken)
        yield
        handle.remove()

    plan = Peer("plan", "B = 3", STEPS, overflowing, budget=3)
    found = compared(contest(tiny_flux, plan, *plans.fewer_steps("Euler", [2])))
    assert [row.failure for row in found.rows] == [
        None,
        "the sample is not finite (on 'red fox')",
        None,
    ]


def test_peers_that_cannot_be_told_apart_are_refused(tiny_flux: FluxPipeline) -> None:
    twice = plans.fewer_steps("Euler", [3, 3])
    with pytest.raises(InputError, match="rename"):
        contest(tiny_flux, *twice)


def test_a_contest_needs_samples(tiny_flux: FluxPipeline) -> None:
    with pytest.raises(InputError, match="at least one prompt"):
        Contest(tiny_pipeline(tiny_flux), STEPS, (), (), (SEED,))
