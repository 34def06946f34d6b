"""What fits of knots that begin alike have in common: run once, found the same, and counted."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import Tensor

from meancache_plan.core.predictors import ADAMS
from meancache_plan.files.journal import Journal
from meancache_plan.improve.closed_loop import alike, fit, prior_gains
from meancache_plan.improve.trials import Trials
from meancache_plan.plan.simple_plans import adams_plan
from tests.fields import mixture, noise, shifted_grid
from tests.improve.flow_ensemble import Counting

GRID = shifted_grid(12)
KNOTS = (0, 2, 5, 8)
PLAIN = prior_gains(adams_plan(KNOTS)) or []


OPTIONS: dict[str, Any] = {"order": 3, "shrinkage": 0.1}


@pytest.mark.parametrize(
    ("others", "common"),
    [((0, 2, 5, 9), 3), ((0, 2, 6, 9), 2), ((0, 3, 5, 8), 1), ((0, 2, 5, 8), 4), ((0, 2, 5), 3)],
)
def test_what_two_fits_have_in_common_is_run_once_and_found_the_same(
    others: tuple[int, ...], common: int
) -> None:
    ensemble = Counting(mixture(), noise(4), GRID)
    prior = prior_gains(adams_plan(others)) or []
    other = fit(ensemble, range(4), others, prior, **OPTIONS, keep=True)
    alone = fit(ensemble, range(4), KNOTS, PLAIN, **OPTIONS)
    ensemble.refreshes = 0
    found = fit(ensemble, range(4), KNOTS, PLAIN, **OPTIONS, known=other.visited)
    assert alike(KNOTS, others) == common
    assert alike(KNOTS, ()) == 0
    assert ensemble.refreshes == 4 * (len(KNOTS) - common)
    assert found.gains == alone.gains
    assert np.array_equal(found.errors, alone.errors)
    assert alone.visited is None


def trials_of(journal: Journal | None = None) -> tuple[Trials, Counting, list[int]]:
    """Trials, their ensemble, and what they say that they spent."""
    ensemble, told = Counting(mixture(), noise(4), GRID), list[int]()
    return Trials(ensemble, journal or Journal(), told.append), ensemble, told


STATES = 2 * 4 * len(KNOTS) * 16 * 8
"""Bytes of a fit's states, of four samples: latents and a velocity at each knot, in float64."""


@pytest.mark.parametrize(
    ("held", "known"),
    [(3 * STATES, [0, 2, 2, 3]), (2 * STATES, [0, 2, 2, 2]), (2 * STATES - 1, [0, 2, 2, 3])],
    ids=["all", "two", "the first"],
)
def test_fits_go_on_from_the_nearest_of_those_that_there_is_memory_for(
    held: int, known: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("meancache_plan.improve.trials.HELD", held)
    trials, ensemble, told = trials_of()
    for knots in ((0, 2, 5, 9), (0, 2, 6, 9), (0, 2, 7, 9), (0, 2, 5, 10)):
        trials.fit(knots, PLAIN, range(4), **OPTIONS, hold=True)
    assert told == [4 * (4 - each) for each in known]
    assert ensemble.refreshes == sum(told)


def test_the_fit_that_another_goes_on_from_stays_and_the_one_unused_for_longest_goes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("meancache_plan.improve.trials.HELD", 2 * STATES)
    trials, ensemble, told = trials_of()
    for knots in ((0, 2, 5, 9), (0, 3, 6, 9), (0, 2, 6, 9), (0, 2, 5, 10)):
        trials.fit(knots, PLAIN, range(4), **OPTIONS, hold=True)
    assert told == [16, 12, 8, 4]
    assert ensemble.refreshes == sum(told)


def test_no_states_are_held_that_take_too_much_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meancache_plan.improve.trials.HELD", STATES - 1)
    trials, _, told = trials_of()
    for knots in ((0, 2, 5, 9), KNOTS):
        trials.fit(knots, PLAIN, range(4), **OPTIONS, hold=True)
    assert told == [16, 16]


def test_only_fits_that_are_alike_else_share_anything() -> None:
    trials, ensemble, told = trials_of()
    first, plain = (0, 2, 5, 9), [(1.0,)] * 4
    trials.fit(first, PLAIN, range(4), **OPTIONS, hold=True)
    trials.fit(KNOTS, PLAIN, (0, 1), **OPTIONS)  # of other samples
    trials.fit(KNOTS, plain, range(4), **OPTIONS)  # shrunk towards other gains at the second knot
    trials.fit(KNOTS, PLAIN, range(4), **OPTIONS, terms=ADAMS._replace(name="other"))
    trials.fit(KNOTS, PLAIN, range(4), order=2, shrinkage=0.1)
    trials.fit(KNOTS, PLAIN, range(4), order=3, shrinkage=0.2)
    assert told == [16, 8, 16, 16, 16, 16]
    assert ensemble.refreshes == sum(told)


def test_gains_that_later_intervals_are_shrunk_towards_part_nothing_before_them() -> None:
    trials, ensemble, told = trials_of()
    trials.fit((0, 2, 5, 9), [*PLAIN[:2], (1.0,), (1.0,)], range(4), **OPTIONS, hold=True)
    trials.fit(KNOTS, PLAIN, range(4), **OPTIONS)
    assert told == [16, 4]
    assert ensemble.refreshes == sum(told)


def test_fits_of_other_budgets_share_what_they_begin_with() -> None:
    trials, ensemble, told = trials_of()
    longer = (*KNOTS, 10)
    trials.fit(longer, prior_gains(adams_plan(longer)) or [], range(4), **OPTIONS, hold=True)
    trials.fit(KNOTS, PLAIN, range(4), **OPTIONS)
    assert told == [20, 0]
    assert ensemble.refreshes == 20


def test_fits_that_are_recalled_count_as_they_did(tmp_path: Path) -> None:
    for refreshes in (20, 0):
        trials, ensemble, told = trials_of(Journal(tmp_path))
        trials.fit((0, 2, 5, 9), PLAIN, range(4), **OPTIONS, hold=True)
        trials.fit(KNOTS, PLAIN, range(4), **OPTIONS)
        assert told == [16, 4]
        assert ensemble.refreshes == refreshes


def test_after_a_fit_that_is_recalled_all_is_run_and_found_and_counted_the_same(
    tmp_path: Path,
) -> None:
    whole, _, _ = trials_of()
    begun, _, _ = trials_of(Journal(tmp_path))
    for each in (whole, begun):
        each.fit((0, 2, 5, 9), PLAIN, range(4), **OPTIONS, hold=True)
    resumed, ensemble, told = trials_of(Journal(tmp_path))
    resumed.fit((0, 2, 5, 9), PLAIN, range(4), **OPTIONS, hold=True)
    found, wanted = (each.fit(KNOTS, PLAIN, range(4), **OPTIONS) for each in (resumed, whole))
    assert told == [16, 4]
    assert ensemble.refreshes == 16
    assert found.gains == wanted.gains
    assert np.array_equal(found.errors, wanted.errors)


def test_what_is_asked_for_again_is_still_held() -> None:
    trials, ensemble, told = trials_of()
    for knots in ((0, 2, 5, 9), (0, 2, 5, 9), KNOTS):
        trials.fit(knots, PLAIN, range(4), **OPTIONS, hold=True)
    assert told == [16, 4]
    assert ensemble.refreshes == sum(told)


def test_what_is_asked_for_again_is_not_held_without_its_states(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("meancache_plan.improve.trials.HELD", 2 * STATES)
    trials, ensemble, told = trials_of()
    first, second, third = (0, 2, 5, 9), (0, 3, 6, 9), (0, 3, 7, 9)
    for knots in (first, second, third, first, KNOTS):
        trials.fit(knots, PLAIN, range(4), **OPTIONS, hold=True)
    assert told == [16, 12, 8, 12]
    assert ensemble.refreshes == sum(told)


def test_what_was_not_held_at_first_is_not_held_later() -> None:
    trials, ensemble, told = trials_of()
    for hold in (False, True):
        trials.fit((0, 2, 5, 9), PLAIN, range(4), **OPTIONS, hold=hold)
    trials.fit(KNOTS, PLAIN, range(4), **OPTIONS)
    assert told == [16, 16]
    assert ensemble.refreshes == sum(told)


def test_what_is_not_to_be_held_is_not() -> None:
    trials, _, told = trials_of()
    trials.fit((0, 2, 5, 9), PLAIN, range(4), **OPTIONS)
    trials.fit(KNOTS, PLAIN, range(4), **OPTIONS, hold=True)
    assert told == [16, 16]


class Watched(Counting):
    """Tells how many of its velocities are still held when another is asked for."""

    def __init__(self) -> None:
        super().__init__(mixture(), noise(4), GRID)
        self.held: list[int] = []
        self._made: list[weakref.ref[Tensor]] = []

    def velocity(self, rows: Sequence[int], step: int, latents: Tensor) -> Tensor:
        self.held.append(sum(each() is not None for each in self._made))
        found = super().velocity(rows, step, latents)
        self._made.append(weakref.ref(found))
        return found


@pytest.mark.parametrize(("keep", "held"), [(False, [0, 1, 2, 2]), (True, [0, 1, 2, 3])])
def test_only_what_is_to_be_shared_is_held_longer_than_it_is_needed(
    keep: bool, held: list[int]
) -> None:
    ensemble = Watched()
    fit(ensemble, range(4), KNOTS, PLAIN, order=2, shrinkage=0.1, keep=keep)
    assert ensemble.held == held
