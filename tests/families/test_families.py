"""Every supported pipeline: calibrate, solve, attach; against a plain run and a plan by hand."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from meancache_plan.measure.calibrate import calibrate
from meancache_plan.plan.solve import solve
from meancache_plan.schedule.artifact import Schedule
from meancache_plan.source.diffusers.pipeline import Pipeline
from meancache_plan.source.recipe import Recipe
from meancache_runtime import attach, errors
from meancache_runtime.hosts.diffusers.identity import denoisers
from meancache_runtime.schedule import as_schedule
from tests.families import catalogue, versions
from tests.families.by_sampler import followed_by_hand, repeating
from tests.families.case import Case, Refusal, run, seeded
from tests.runtime import by_hand

pytestmark = pytest.mark.early(2)

every_case = versions.each(catalogue.CASES)
SAMPLES = 2
RELATIVE = 1e-4
"""Of fp32 replay against the plan followed by hand: rounding, amplified by the steps."""


class Embedded(Pipeline):
    """A case's pipeline as calibration drives it: embeddings stand for its prompts."""

    def __init__(self, case: Case) -> None:
        super().__init__(case.build(), Recipe(steps=case.steps, dtype="float32"), case.name)
        self.case, self._arguments = case, case.call(case.steps)

    def run(self, prompt: Any, seed: Any, *, steps: int | None = None, **extra: Any) -> Any:
        options = self.case.call(self.case.steps if steps is None else steps)
        generator = torch.Generator("cpu").manual_seed(seed)
        with torch.no_grad():
            return seeded(lambda: self.pipe(**{**options, **extra}, generator=generator), seed)


class Compiled:
    """The schedule of each case; each is made once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: dict[str, Schedule] = {}

    def __call__(self, case: Case) -> Schedule:
        if case.name not in self._made:
            path = self._folder / f"{case.name}.safetensors"
            profile = calibrate(Embedded(case), ["a"], range(SAMPLES), path)
            self._made[case.name] = solve(profile, (*case.budgets, profile.steps))
        return self._made[case.name]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    return Compiled(tmp_path_factory.mktemp("families"))


@every_case
def test_a_budget_of_all_steps_changes_no_bit_and_is_the_calibrated_request(
    case: Case, compiled: Compiled
) -> None:
    pipe, schedule = case.build(), compiled(case)
    plain = run(pipe, case.call(case.steps))
    budget = max(plan.budget for plan in schedule.plans)
    with attach(pipe, schedule.replayable(), budget=budget, strict=True) as attached:
        replayed = run(pipe, case.call(case.steps))
    assert attached.stats.cached_steps == case.steps - budget  # those of no length, if any
    assert (attached.stats.request, attached.stats.warnings) == ("same", ())
    assert_same(replayed, plain)


@every_case
def test_the_denoiser_runs_as_often_as_the_plan_has_knots(case: Case, compiled: Compiled) -> None:
    pipe, calls = case.build(), [0]

    def count(*_: Any) -> None:
        calls[0] += 1

    for module in denoisers(pipe).values():
        module.register_forward_hook(count)
    schedule = compiled(case).replayable()
    for budget in case.budgets:
        calls[0] = 0
        with attach(pipe, schedule, budget=budget) as attached:
            run(pipe, case.call(case.steps))
        knots = len(schedule.plan(budget).knots)
        assert 1 <= knots <= budget
        assert calls[0] == attached.stats.denoiser_calls == knots * case.branches
        assert attached.stats.refreshes == knots


@every_case
def test_replay_equals_the_plan_followed_by_hand(case: Case, compiled: Compiled) -> None:
    schedule = compiled(case).replayable()
    for budget in case.budgets:
        pipe, plan = case.build(), as_schedule(schedule).plan(budget)
        memory = repeating(pipe, plan) if case.remembers else nullcontext()
        with followed_by_hand(type(pipe.scheduler), plan, schedule.grid.displaced), memory:
            expected = run(pipe, case.call(case.steps))
        with attach(pipe, schedule, budget=budget):
            replayed = run(pipe, case.call(case.steps))
        assert_close(replayed, expected)


@every_case
def test_an_error_in_mid_run_leaves_no_trace(case: Case, compiled: Compiled) -> None:
    pipe = case.build()
    plain = run(pipe, case.call(case.steps))
    with attach(pipe, compiled(case).replayable(), budget=case.budgets[-1]):
        whole = run(pipe, case.call(case.steps))
        break_off(pipe, case)
        again = run(pipe, case.call(case.steps))
        break_off(pipe, case)
    assert_same(again, whole)
    assert_same(run(pipe, case.call(case.steps)), plain)


@every_case
def test_detached_it_is_as_it_was_found(case: Case, compiled: Compiled) -> None:
    pipe = case.build()
    plain = run(pipe, case.call(case.steps))
    cls, found = type(pipe), dict(vars(pipe))
    attached = attach(pipe, compiled(case).replayable(), budget=case.budgets[0])
    run(pipe, case.call(case.steps))
    attached.detach()
    assert type(pipe) is cls
    assert all(vars(pipe)[name] is found[name] for name in pipe.components)
    assert_same(run(pipe, case.call(case.steps)), plain)


@versions.each(catalogue.REFUSALS)
def test_refused_by_name(case: Refusal) -> None:
    pipe, schedule = case.build(), by_hand.schedule(case.steps, (0, 2))
    schedule = replace(schedule, grid=replace(schedule.grid, replaces=case.replaces))
    with (
        pytest.raises(getattr(errors, case.error), match=case.match),
        attach(pipe, schedule, budget=2),
    ):
        run(pipe, case.call(case.steps))


def break_off(pipe: Any, case: Case) -> None:
    """A run whose denoiser raises at its second refresh."""
    with failing(pipe, at_call=case.branches), pytest.raises(RuntimeError, match="on purpose"):
        run(pipe, case.call(case.steps))


@contextmanager
def failing(pipe: Any, at_call: int) -> Generator[None]:
    """Within, the pipeline's denoisers raise from their n-th call on (0-based)."""
    calls = [0]

    def fail(*_: Any) -> None:
        calls[0] += 1
        if calls[0] > at_call:
            raise RuntimeError("broken on purpose")

    handles = [m.register_forward_pre_hook(fail) for m in denoisers(pipe).values()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def assert_same(found: tuple[Tensor, ...], expected: tuple[Tensor, ...]) -> None:
    assert len(found) == len(expected) > 0
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def assert_close(found: tuple[Tensor, ...], expected: tuple[Tensor, ...]) -> None:
    assert len(found) == len(expected) > 0
    for a, b in zip(found, expected, strict=True):
        assert torch.isfinite(b).all()
        assert (a - b).norm() <= RELATIVE * b.norm()
