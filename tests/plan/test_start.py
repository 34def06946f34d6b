"""Starting plans: a rule from published plans, and a schedule that says that it is one."""

import json
import re

import numpy as np
import pytest

from meancache_plan.errors import InputError
from meancache_plan.plan.simple_plans import adams_plan
from meancache_plan.plan.start import (
    published_density,
    published_schedules,
    start_plans,
    start_schedule,
)
from meancache_plan.schedule.artifact import (
    Grid,
    ModelIdentity,
    PlanEntry,
    Schedule,
    from_bytes,
    load_schedule,
    to_bytes,
)
from meancache_plan.source import catalog
from meancache_runtime.errors import ScheduleError
from meancache_runtime.requests import compare
from meancache_runtime.schedule import parse_schedule, to_document

MODEL = ModelIdentity(
    id="owner/name",
    revision=None,
    fingerprint=None,
    pipeline="FluxPipeline",
    scheduler=None,
    adapters=(),
)


def published(*knots: tuple[int, ...], steps: int = 6) -> dict[str, Schedule]:
    plans = tuple(PlanEntry.of(adams_plan(each)) for each in knots)
    grid = Grid(steps=steps, sigmas=None, tolerance=0.0)
    made = Schedule(model=None, grid=grid, generation=None, plans=plans, provenance=None)
    return {"published": made}


def test_the_density_of_published_plans_is_one_over_the_length_of_their_intervals() -> None:
    known = published((0, 4), (0, 1, 4))
    mean = [(1 / 4 + 1) / 2, *[(1 / 4 + 1 / 3) / 2] * 3, 1 / 2, 1 / 2]
    np.testing.assert_allclose(published_density(known, 6), mean)
    halves = [(mean[i] + mean[i + 1]) / 2 for i in (0, 2, 4)]
    np.testing.assert_allclose(published_density(known, 3), halves)
    np.testing.assert_allclose(published_density(known, 12), np.repeat(mean, 2))


def test_knots_are_even_over_the_steps_or_drawn_to_where_published_plans_have_theirs() -> None:
    known = published((0, 1, 2), steps=8)
    even = start_plans([4], 8, known, width=0, tilt=0)[4]
    assert even == adams_plan((0, 2, 4, 6))
    assert start_plans([4], 8, known, width=0, tilt=1)[4].knots[:2] == (0, 1)


def test_without_density_knots_of_width_1_are_even_in_sigma_on_a_grid_of_shift_3() -> None:
    plan = start_plans([5], 1000, published((0,)), width=1, tilt=0)[5]
    times = [1 - knot / 1000 for knot in plan.knots]
    sigmas = [3 * t / (1 + 2 * t) for t in times]
    np.testing.assert_allclose(sigmas, [1.0, 0.8, 0.6, 0.4, 0.2], atol=0.003)


def test_every_budget_of_any_run_has_a_plan_of_just_so_many_refreshes() -> None:
    for steps in (1, 4, 28, 50):
        budgets = range(1, steps + 1)
        plans = start_plans(budgets, steps, published_schedules())
        assert {b: len(plan.knots) for b, plan in plans.items()} == {b: b for b in budgets}


@pytest.mark.parametrize("budget", [0, 51])
def test_a_budget_that_the_steps_cannot_hold_is_refused(budget: int) -> None:
    with pytest.raises(InputError, match=f"budget {budget} is out of range: choose 1 to 50"):
        start_schedule(MODEL, [budget], 50)


def test_both_readers_know_a_starting_plan_and_no_other_schedule() -> None:
    made = start_schedule(MODEL, [10, 16], 50)
    assert from_bytes(to_bytes(made)) == made
    assert made.calibrated is None
    read = parse_schedule(to_bytes(made))
    assert read == made.replayable()
    assert read.start == made.replayable().start
    assert read.start is not None
    assert all(name in read.start for name in published_schedules())
    solved = load_schedule(catalog.schedule_files()["reference/50-steps"])
    assert solved.calibrated is solved.provenance
    assert parse_schedule(to_bytes(solved)).start is None


def test_a_runs_user_is_told_by_the_runtime_also_of_a_plan_that_was_taken_out() -> None:
    read = start_schedule(MODEL, [10, 16], 50).replayable()
    alone = parse_schedule(json.dumps(to_document(read, 16)).encode())
    for schedule in (read, alone):
        verdict = compare({}, schedule, 16)
        assert verdict.grade == "unknown"
        assert [text.partition(",")[0] for text in verdict.messages] == ["this is a starting plan"]


@pytest.mark.parametrize("source", [None, 3, "", ["a"]])
def test_a_starting_plan_is_known_whatever_else_its_provenance_says(source: object) -> None:
    document = json.loads(to_bytes(start_schedule(MODEL, [10], 50)))
    document["provenance"] = {"start": {"source": source}}
    assert parse_schedule(json.dumps(document).encode()).start == "other models"


def test_its_provenance_has_the_numbers_that_make_its_plans_again() -> None:
    made = start_schedule(MODEL, [10, 16], 50)
    assert made.starting is not None
    rule, known = made.starting.start, published_schedules()
    again = start_plans([10, 16], 50, known, width=rule.width, tilt=rule.tilt)
    assert tuple(again.values()) == tuple(entry.plan for entry in made.plans)
    assert rule.plans == sum(len(schedule.plans) for schedule in known.values())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"width": None}, "provenance.start.width: must be a number"),
        ({"tilt": -1}, "provenance.start.tilt: is out of range: at least 0"),
        ({"shift": 0}, "provenance.start.shift: is out of range: more than 0"),
        ({"plans": 0}, "provenance.start.plans: is out of range: at least 1"),
        ({"source": ""}, "provenance.start.source: must not be empty"),
        ({"gamma": 1.0}, 'provenance.start: unknown key "gamma"'),
    ],
)
def test_the_compiler_alone_looks_into_the_rule(change: dict[str, object], words: str) -> None:
    made = start_schedule(MODEL, [10], 50)
    document = json.loads(to_bytes(made))
    document["provenance"]["start"] |= change
    data = json.dumps(document).encode()
    with pytest.raises(ScheduleError, match=re.escape(words)):
        from_bytes(data)
    assert parse_schedule(data).plans == made.replayable().plans
