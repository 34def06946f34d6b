"""Whatever becomes of a file, both readers accept it or both refuse it."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meancache_plan.schedule.artifact import from_bytes
from meancache_runtime.errors import ScheduleError
from meancache_runtime.schedule import parse_schedule
from tests.schedule.readers import READERS, VALID

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 12),
    st.sampled_from([10**6, 10**9, 10**30, -1, 0, 1000, 1001]),
    st.floats(allow_nan=False, allow_infinity=True),
    st.sampled_from([0.0, -0.0, 1.0, 0.5, 1e-320, 1e6, 1e300, 8.0]),
    st.text(max_size=4),
    st.sampled_from(["hold", "jvp", "released", "adams", "x" * 1000, "x" * 1001, "\ud800", "\x00"]),
    st.just([]),
    st.just({}),
    st.lists(st.integers(0, 8), max_size=5),
    st.lists(st.floats(-2, 2), max_size=5),
)
KEYS = ["predictor", "window", "span", "order", "gains", "knots", "budget", "steps", "x", "id"]


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a JSON value, as the keys and indices that lead there."""
    found = [path] if path else []
    if isinstance(value, dict | list):
        for key, child in value.items() if isinstance(value, dict) else enumerate(value):
            found += places(child, (*path, key))
    return found


@st.composite
def mutations(draw: st.DrawFn) -> bytes:
    value = copy.deepcopy(VALID)
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(places(value)))
        parent: Any = value
        for key in path[:-1]:
            parent = parent[key]
        kind = draw(st.sampled_from(["replace", "replace", "delete", "copy", "add"]))
        if kind == "replace":
            parent[path[-1]] = draw(VALUES)
        elif kind == "delete":
            del parent[path[-1]]
        elif kind == "copy" and isinstance(parent, list):
            parent.insert(path[-1], copy.deepcopy(parent[path[-1]]))
        elif kind == "add" and isinstance(parent, dict):
            parent[draw(st.sampled_from(KEYS))] = draw(VALUES)
        if not places(value):
            break
    if isinstance(value.get("provenance"), dict):
        value["provenance"] = None  # its content is the compiler's alone to judge
    return json.dumps(value).replace("Infinity", "1e999").encode()


def outcome(read: Any, data: bytes) -> bool:
    try:
        read(data)
    except ScheduleError:
        return False
    return True


@settings(max_examples=150, suppress_health_check=list(HealthCheck))
@given(mutations())
def test_both_readers_agree_on_mutated_schedules(data):
    accepted = [outcome(read, data) for read in READERS]
    assert accepted[0] == accepted[1]
    if accepted[0]:
        assert from_bytes(data).replayable() == parse_schedule(data)


@settings(max_examples=150)
@given(st.integers(0, 10**6), st.binary(min_size=0, max_size=3))
def test_both_readers_agree_on_damaged_bytes(position, patch):
    data = json.dumps(VALID | {"provenance": None}).encode()
    at = position % len(data)
    damaged = data[:at] + patch + data[at + 1 :]
    assert outcome(from_bytes, damaged) == outcome(parse_schedule, damaged)
