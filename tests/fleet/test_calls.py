"""What workers are asked for, until they answer, or take too long."""

from __future__ import annotations

from meancache_plan.fleet.calls import HEARD, STARTS, WAITS, Calls


def test_a_call_is_answered_when_all_members_have_answered() -> None:
    calls = Calls[str]()
    calls.add("gang", 3, 0, ["first", "second"])
    calls.add("other", 4, 0, ["third"])
    call = calls.answered("second")
    assert (call.worker, call.unit, call.awaited) == ("gang", 3, {"first"})
    assert calls.answered("first") is call
    assert not call.awaited
    assert calls.answers == ["third"]


def test_no_answer_is_awaited_of_a_call_that_is_dropped() -> None:
    calls = Calls[str]()
    calls.add("gang", 3, 0, ["first", "second"])
    calls.add("other", 4, 0, ["third"])
    calls.drop(calls.answered("first"))
    assert calls.answers == ["third"]


def test_who_starts_may_take_a_while_but_who_waits_for_room_waits_for_ever() -> None:
    now = 0.0
    calls = Calls[str](lambda: now)
    for worker, unit in (("waits", WAITS), ("starts", STARTS), ("heard", HEARD), ("works", 7)):
        calls.add(worker, unit, 0, [worker])
    now = 60.0
    assert calls.lasting((), 60) == []
    now = 61.0
    assert [call.worker for call in calls.lasting((), 60)] == ["starts", "heard"]
    assert [call.worker for call in calls.lasting({7}, 61)] == ["works"]
