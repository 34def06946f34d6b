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
from meancache_plan.improve.closed_loop import fit, prior_gains, shared
from meancache_plan.improve.trials import Trials
from meancache_plan.plan.simple_plans import adams_plan
from tests.fields import mixture, noise, shifted_grid
from tests.improve.flow_ensemble import Counting, FlowEnsemble

GRID = shifted_grid(12)
KNOTS = (0, 2, 5, 8)
PLAIN = prior_gains(adams_plan(KNOTS)) or []


@pytest.mark.parametrize(
    ("others", "common"),
    [((0, 2, 5, 9), 2), ((0, 2, 6, 9), 1), ((0, 3, 5, 8), 0), ((0, 2, 5, 8), 3), ((0, 2, 5), 2)],
)
def test_what_two_fits_have_in_common_is_run_once_and_found_the_same(
    others: tuple[int, ...], common: int
) -> None:
    ensemble = Counting(mixture(), noise(4), GRID)
    options: dict[str, Any] = {"order": 3, "shrinkage": 0.1}
    prior = prior_gains(adams_plan(others)) or []
    other = fit(ensemble, range(4), others, prior, **options, keep=True)
    alone = fit(ensemble, range(4), KNOTS, PLAIN, **options)
    ensemble.refreshes = 0
    found = fit(ensemble, range(4), KNOTS, PLAIN, **options, known=other.visited)
    assert shared(KNOTS, others) == common
    assert shared(KNOTS, ()) == 0
    assert ensemble.refreshes == 4 * (len(KNOTS) - common)
    assert found.gains == alone.gains
    assert np.array_equal(found.errors, alone.errors)
    assert alone.visited is None


LATENTS = 2 * 4 * len(KNOTS) * 2
"""States of two fits of four samples: latents and a velocity at each knot."""


@pytest.mark.parametrize(
    ("held", "saved"), [(LATENTS * 16 * 8, 2), (LATENTS * 16 * 8 - 1, 0)], ids=["all", "too many"]
)
def test_trials_share_what_states_they_may_hold_and_count_what_was_run(
    held: int, saved: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("meancache_plan.improve.trials.HELD", held)
    ensemble, told = Counting(mixture(), noise(4), GRID), list[int]()
    trials = Trials(ensemble, Journal(), told.append)
    options: dict[str, Any] = {"order": 3, "shrinkage": 0.1}
    first, second = (0, 2, 5, 9), (0, 2, 5, 10)
    trials.fit(first, PLAIN, range(4), **options, after=first)
    for other in (KNOTS, second):  # the second too comes after the first
        trials.fit(other, PLAIN, range(4), **options, after=first)
    assert told == [16, 16 - 4 * saved, 16 - 4 * saved]
    assert ensemble.refreshes == sum(told)
    trials.fit((0, 2, 5, 7), PLAIN, range(4), **options, after=(0, 2, 5, 11))  # unknown
    trials.fit(first, PLAIN, (0, 1), **options, after=(0, 2, 5, 7))  # of other samples
    trials.fit(KNOTS, [(1.0,)] * 4, (0, 1), **options, after=first)  # shrunk towards other gains
    other = ADAMS._replace(name="other")
    trials.fit(second, [(1.0,)] * 4, (0, 1), **options, terms=other, after=KNOTS)
    assert told[3:] == [16, 8, 8, 8]
    assert ensemble.refreshes == sum(told)


def test_fits_that_are_recalled_count_as_they_did(tmp_path: Path) -> None:
    options: dict[str, Any] = {"order": 3, "shrinkage": 0.1}
    for refreshes in (24, 0):
        ensemble, told = Counting(mixture(), noise(4), GRID), list[int]()
        trials = Trials(ensemble, Journal(tmp_path), told.append)
        trials.fit((0, 2, 5, 9), PLAIN, range(4), **options, after=(0, 2, 5, 9))
        trials.fit(KNOTS, PLAIN, range(4), **options, after=(0, 2, 5, 9))
        assert told == [16, 8]
        assert ensemble.refreshes == refreshes


def test_after_a_fit_that_is_recalled_all_is_run_and_found_and_counted_the_same(
    tmp_path: Path,
) -> None:
    options: dict[str, Any] = {"order": 3, "shrinkage": 0.1}
    whole = Trials(FlowEnsemble(mixture(), noise(4), GRID), Journal(), lambda refreshes: None)
    ensemble, told = Counting(mixture(), noise(4), GRID), list[int]()
    for each in (whole, Trials(ensemble, Journal(tmp_path), told.append)):
        each.fit((0, 2, 5, 9), PLAIN, range(4), **options, after=(0, 2, 5, 9))
    resumed = Trials(ensemble, Journal(tmp_path), told.append)
    resumed.fit((0, 2, 5, 9), PLAIN, range(4), **options, after=(0, 2, 5, 9))
    found, wanted = (
        each.fit(KNOTS, PLAIN, range(4), **options, after=(0, 2, 5, 9)) for each in (resumed, whole)
    )
    assert told == [16, 16, 8]
    assert ensemble.refreshes == 16 + 16
    assert found.gains == wanted.gains
    assert np.array_equal(found.errors, wanted.errors)


def test_what_is_not_to_be_shared_is_not_held() -> None:
    told: list[int] = []
    trials = Trials(Counting(mixture(), noise(4), GRID), Journal(), told.append)
    options: dict[str, Any] = {"order": 3, "shrinkage": 0.1}
    trials.fit((0, 2, 5, 9), PLAIN, range(4), **options)
    trials.fit(KNOTS, PLAIN, range(4), **options, after=(0, 2, 5, 9))
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
