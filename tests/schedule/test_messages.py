"""What is said of a schedule that somebody wrote or gave by mistake: by both readers."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from meancache_plan.measure import profile
from meancache_plan.schedule.artifact import from_bytes, load_schedule
from meancache_runtime import load_schedule as load_at_runtime
from meancache_runtime.errors import BudgetError, ScheduleError
from meancache_runtime.schedule import parse_schedule
from tests.commands import write_profile

GOOD = Path(__file__).parents[1] / "corpus" / "good" / "every-field.json"
READERS = [from_bytes, parse_schedule]
LOADERS = [load_schedule, load_at_runtime]


def with_plan(**changes: Any) -> dict[str, Any]:
    """The corpus's good file with a few changes of its first plan."""
    value = copy.deepcopy(json.loads(GOOD.read_text()))
    value["plans"][0] |= changes
    return value


@pytest.mark.parametrize("read", READERS)
def test_a_mistyped_key_is_named_beside_the_one_that_is_missing(read):
    value = with_plan(budgett=2)
    del value["plans"][0]["budget"]
    with pytest.raises(ScheduleError) as caught:
        read(json.dumps(value).encode())
    assert str(caught.value) == 'plans[0]: "budget" is missing, unknown key "budgett"'


@pytest.mark.parametrize("read", READERS)
def test_faults_of_two_objects_are_not_told_as_one(read):
    value = with_plan(extra=1)
    value["plans"][1].pop("knots")
    with pytest.raises(ScheduleError) as caught:
        read(json.dumps(value).encode())
    assert str(caught.value) == 'plans[0]: unknown key "extra"'


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    ("value", "quoted"),
    [("2", '"2"'), (True, "true"), (2.0, "2.0"), (None, "null"), ("\x1b[2J", r'"\u001b[2J"')],
)
def test_what_stands_where_an_integer_belongs_is_quoted(read, value, quoted):
    with pytest.raises(ScheduleError) as caught:
        read(json.dumps(with_plan(budget=value)).encode())
    assert str(caught.value) == f"plans[0].budget: must be an integer, not {quoted}"


@pytest.mark.parametrize("read", READERS)
def test_a_long_text_where_an_integer_belongs_is_cut_short(read):
    with pytest.raises(ScheduleError, match=r'must be an integer, not "x+\.\.\.$') as caught:
        read(json.dumps(with_plan(budget="x" * 5000)).encode())
    assert len(str(caught.value)) < 120


@pytest.mark.parametrize("load", LOADERS)
def test_a_profile_in_a_schedules_place_is_told_from_damage(load, tmp_path):
    file = write_profile(tmp_path, 8)
    with pytest.raises(ScheduleError) as caught:
        load(file)
    assert f"{file}: looks like a profile" in str(caught.value)
    assert "meancache-plan solve FILE" in str(caught.value)
    assert profile.load_profile(file).steps == 8


@pytest.mark.parametrize("load", LOADERS)
def test_a_profile_larger_than_any_schedule_is_told_too(load, tmp_path):
    file = tmp_path / "large.safetensors"
    file.write_bytes((2).to_bytes(8, "little") + b"{}" + bytes(9 * 1024 * 1024))
    with pytest.raises(ScheduleError, match="looks like a profile"):
        load(file)


@pytest.mark.parametrize("load", LOADERS)
def test_a_picture_in_a_schedules_place_is_answered_with_what_a_schedule_is(load, tmp_path):
    file = tmp_path / "a.png"
    file.write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(ScheduleError, match=r"a\.png: not UTF-8 text: give a JSON file, such as"):
        load(file)


@pytest.mark.parametrize(
    ("budget", "words"), [("4", "'4' (str)"), (True, "True (bool)"), (4.0, "4.0 (float)")]
)
def test_a_budget_that_is_no_integer_is_refused_as_what_it_is(budget, words):
    schedule = load_at_runtime(GOOD)
    with pytest.raises(BudgetError) as caught:
        schedule.plan(budget)
    assert str(caught.value) == (
        f"the budget is {words}: give an integer; the schedule has plans for 2, 4"
    )
