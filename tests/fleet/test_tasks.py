"""The queue of units: what is lost is done again, and what is hopeless ends."""

from __future__ import annotations

from benchmarks.fleet import busy
from meancache_plan.fleet.tasks import Tasks


def fail(tasks: Tasks, times: int) -> None:
    for _ in range(times):
        tasks.lost(tasks.take(), "no memory")


def test_a_lost_unit_is_next_again_until_it_is_given_up() -> None:
    tasks = Tasks(3, tries=2)
    assert [tasks.take(), tasks.take()] == [0, 1]
    tasks.lost(0, "its worker died")
    assert tasks.take() == 0
    tasks.lost(0, "its worker died again")
    assert tasks.failed == {0: "its worker died again"}
    tasks.done(1)
    assert tasks.take() == 2
    assert tasks.open
    tasks.done(2)
    assert not tasks.open


def test_units_that_all_fail_are_hopeless_once_as_many_are_given_up_as_each_is_tried() -> None:
    tasks = Tasks(9, tries=3)
    fail(tasks, 8)
    assert not tasks.hopeless
    fail(tasks, 1)
    assert tasks.hopeless


def test_where_one_is_done_the_others_are_tried_whatever_fails() -> None:
    tasks = Tasks(9, tries=3)
    tasks.done(tasks.take())
    fail(tasks, 23)
    assert tasks.open
    assert not tasks.hopeless


def test_a_fleet_that_loses_workers_is_busy_while_samples_wait() -> None:
    found = busy(workers=64, samples=640, seed=1)
    assert found.deaths > 0
    assert found.while_samples_wait >= 0.95


def test_a_unit_is_late_after_ten_times_what_the_slowest_took_but_not_before_some_silence() -> None:
    now = 0.0
    tasks = Tasks(3, clock=lambda: now)
    assert [tasks.take(), tasks.take()] == [0, 1]
    now = 1e6
    assert tasks.late(silence=50) == set()  # nobody knows yet how long one takes
    tasks.lost(0, "its worker died")
    tasks.lost(1, "its worker died")
    assert [tasks.take(), tasks.take()] == [1, 0]
    now += 7
    tasks.done(0)
    now += 63
    assert tasks.late(silence=80) == set()
    assert tasks.late(silence=50) == set()
    now += 1
    assert tasks.late(silence=80) == set()
    assert tasks.late(silence=50) == {1}
    tasks.lost(1, "its worker hung")
    assert tasks.late(silence=50) == set()
