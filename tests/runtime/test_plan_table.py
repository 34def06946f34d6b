"""The table of a plan moves a sample exactly as the plan itself does, in every array library."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from meancache_plan.source.catalog import schedule_files
from meancache_runtime import Table, integrate, load_schedule
from meancache_runtime.binding import BoundPlan, bind
from meancache_runtime.errors import ScheduleError
from meancache_runtime.machine import Replay
from meancache_runtime.predictors import Adams, Hold
from meancache_runtime.schedule import Plan
from tests.runtime import by_hand
from tests.runtime.plans_to_bind import PLANS, SIGMAS, field


def follow(table: Table, latents: Any, velocity: Callable[[Any, float], Any] = field) -> Any:
    """By the table's rows alone, as a reader in another language would."""
    known: list[Any] = []
    for n, row in enumerate(table.weights):
        known.append(velocity(latents, table.sigmas[n]))
        latents = latents + sum(weight * known[j] for j, weight in row.items())
    return latents


@pytest.mark.parametrize("name", PLANS)
@pytest.mark.parametrize("displaced", [False, True])
def test_rows_move_a_sample_as_the_plan_followed_by_hand_does(name: str, displaced: bool) -> None:
    plan = PLANS[name]
    noise = torch.linspace(-1, 1, 6, dtype=torch.float64)
    expected = by_hand.integrate(field, noise, plan, SIGMAS, displaced=displaced)
    found = follow(Table.of(bind(plan, SIGMAS, displaced)), noise)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", schedule_files())
def test_its_machine_gives_what_every_shipped_plan_gives_step_by_step(name: str) -> None:
    schedule = load_schedule(schedule_files()[name])
    sigmas = schedule.grid.sigmas or tuple(1 - i / 50 for i in range(51))
    for budget in schedule.budgets:
        table = Table.of(bind(schedule.plan(budget), sigmas, schedule.grid.displaced))
        machine, latents = table.machine(), 0.6
        for sigma, following in pairwise(table.sigmas):
            assert machine.due
            latents += (following - sigma) * machine.advance(field(latents, sigma))
        assert machine.done
        expected = integrate(field, 0.6, schedule, budget=budget, sigmas=sigmas)
        assert latents == pytest.approx(expected, abs=1e-12), budget


def test_a_velocity_is_dropped_after_the_last_row_that_needs_it() -> None:
    table = Table.of(bind(PLANS["adams"], SIGMAS))
    assert [sorted(row) for row in table.weights] == [[0], [0, 1], [1, 2], [0, 1, 2, 3]]
    assert table.last_use == (3, 3, 3, 3)
    assert table.history == 4
    held = Table.of(bind(PLANS["hold"], SIGMAS))
    assert held.last_use == (0, 1, 2)
    assert held.history == 1


def test_the_file_says_all_of_it() -> None:
    table = Table.of(bind(PLANS["adams"], SIGMAS))
    content = json.loads(table.to_json())
    rows = tuple(dict(row) for row in content["weights"])
    again = Table(content["steps"], tuple(content["knots"]), tuple(content["sigmas"]), rows)
    assert again == table
    assert (content["format"], content["version"]) == ("meancache-table", 1)
    assert tuple(content["last_use"]) == table.last_use


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_numpy_arrays_are_followed_in_their_own_dtype_and_kept_in_float32(dtype: Any) -> None:
    bound = bind(PLANS["adams"], SIGMAS)
    machine = Replay(bound)
    given = [np.linspace(-1, 1, 6).astype(dtype) * dtype(1 + k / 8) for k in range(bound.steps)]
    for velocity, form in zip(given, bound.forms, strict=True):
        answer = machine.advance(velocity)
        assert answer.dtype == dtype
        wanted = sum(weight * given[k].astype(np.float64) for k, weight in form.items())
        np.testing.assert_allclose(answer, wanted, rtol=2 * np.finfo(dtype).eps, atol=1e-6)


def test_plain_numbers_are_followed_too() -> None:
    machine = Replay(BoundPlan((1.0, 0.5, 0.0), (0, 1), ({0: 1.0}, {0: -0.5, 1: 1.5})))
    assert (machine.advance(2.0), machine.advance(4.0)) == (2.0, 5.0)


@pytest.mark.parametrize("make", [Replay, Table.of])
def test_what_is_not_bound_to_noise_levels_is_refused_by_name(make: Callable[[Any], Any]) -> None:
    for unbound in (PLANS["hold"], by_hand.schedule(20, (0, 9))):
        with pytest.raises(ScheduleError, match=r"give what bind_schedule\("):
            make(unbound)


def test_the_specification_works_its_example_out_rightly() -> None:
    text = (Path(__file__).parents[2] / "schedules" / "README.md").read_text(encoding="utf-8")
    said = json.loads(
        text.partition("### The table")[2].partition("```json\n")[2].partition("```")[0]
    )
    plan = Plan(2, (0, 1), (Hold(), Adams((1.0, 0.5))))
    found = json.loads(Table.of(bind(plan, (1.0, 0.75, 0.5, 0.0))).to_json())
    assert [j for row in found["weights"] for j, _ in row] == [0, 0, 1]
    weights = [weight for row in found.pop("weights") for _, weight in row]
    assert weights == pytest.approx([w for row in said.pop("weights") for _, w in row], abs=1e-15)
    assert found == said
