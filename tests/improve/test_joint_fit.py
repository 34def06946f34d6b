"""The joint fit: how final samples answer to gains, against the runtime's own replays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from meancache_plan.core.reweighted import Equations
from meancache_plan.files.journal import Journal
from meancache_plan.improve.closed_loop import MAX_GAIN, fit, prior_gains, with_gains
from meancache_plan.improve.joint_fit import Gains, refreshes, responses, step
from meancache_plan.improve.trials import Trials
from meancache_plan.plan.simple_plans import adams_plan
from meancache_runtime import integrate
from meancache_runtime.schedule import Grid, Schedule
from tests.fields import Field, euler, linear, noise, polynomial, shifted_grid
from tests.improve.flow_ensemble import FlowEnsemble

Array = NDArray[np.float64]

GRID = shifted_grid(12)
KNOTS = (0, 2, 3, 6, 9)
PLAIN = prior_gains(adams_plan(KNOTS)) or []
RATES = torch.linspace(-2.0, 1.5, 16, dtype=torch.float64)


def missed(field: Field, start: Tensor, gains: Gains) -> Array:
    """What a replay by the runtime lacks of the full run's final latents, [S, N]."""
    plan = with_gains(adams_plan(KNOTS), list(gains))
    schedule = Schedule(None, Grid(len(GRID) - 1, GRID, 0.0), (plan,))
    found = integrate(field, start, schedule, budget=plan.budget)
    return (euler(field, start, GRID)[0][-1] - found).numpy()


def changed(gains: Gains, place: int, by: float) -> list[tuple[float, ...]]:
    """The gains, with the one at this place, counted through all intervals, moved."""
    flat = [gain for own in gains for gain in own]
    flat[place] += by
    values = iter(flat)
    return [tuple(next(values) for _ in own) for own in gains]


def slopes(field: Field, start: Tensor, gains: Gains) -> Array:
    """∂z_T/∂gain by central differences of whole replays, [p, S, N]."""
    count = sum(map(len, gains))
    ends = [
        [missed(field, start, changed(gains, i, by)) for by in (-1e-3, 1e-3)] for i in range(count)
    ]
    return np.array([(low - high) / 2e-3 for low, high in ends])


class Counting(FlowEnsemble):
    """Counts refreshes."""

    refreshes = 0

    def velocity(self, rows: Sequence[int], step: int, latents: Tensor) -> Tensor:
        self.refreshes += len(rows)
        return super().velocity(rows, step, latents)


def test_responses_are_the_derivatives_of_the_runtimes_replay() -> None:
    # On a linear field the final latents are linear in every single gain: differences are exact.
    start, field = noise(3), linear(RATES)
    gains = fit(FlowEnsemble(field, start, GRID), range(3), KNOTS, PLAIN, order=3, shrinkage=0.1)
    rows = np.vstack(
        [slopes(field, start, gains.gains)[:, 2], missed(field, start, gains.gains)[2]]
    )
    found = responses(FlowEnsemble(field, start, GRID), 2, KNOTS, gains.gains)
    assert np.abs(found).min() > 0
    assert found == pytest.approx(rows @ rows.T, rel=1e-6, abs=1e-12)


def test_only_refreshes_after_an_interval_are_taken_and_they_are_those_announced() -> None:
    ensemble = Counting(linear(RATES), noise(1), GRID)
    gains = [(1.0,), (1.0, 1.0), (1.0,), (1.0, 1.0, 1.0), (1.0, 1.0)]
    responses(ensemble, 0, KNOTS, gains)
    assert ensemble.refreshes == refreshes(gains) == 5 + 1 * 4 + 2 * 3 + 1 * 2 + 3 * 1


def test_an_interrupted_fit_goes_on_at_the_sample_where_it_stopped() -> None:
    first, second = (Counting(linear(RATES), noise(4), GRID) for _ in range(2))
    journal = Journal()
    told: list[int] = []

    def interrupt(spent: int) -> None:
        told.append(spent)
        if len(told) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Trials(first, journal, interrupt).responses(KNOTS, PLAIN, range(4))
    found = Trials(second, journal, told.append).responses(KNOTS, PLAIN, range(4))
    whole = Trials(first, Journal(), told.append).responses(KNOTS, PLAIN, range(4))
    assert second.refreshes == 2 * refreshes(PLAIN)
    assert told == [refreshes(PLAIN)] * 10
    for part, wanted in zip(found, whole, strict=True):
        assert np.array_equal(part, wanted)


def test_steps_end_where_no_gain_can_better_the_final_sample() -> None:
    start, field = noise(1), linear(RATES)
    ensemble = FlowEnsemble(field, start, GRID)
    gains = fit(ensemble, [0], KNOTS, PLAIN, order=3, shrinkage=0.1).gains
    before = np.square(missed(field, start, gains)).sum()
    for _ in range(12):
        gains = step(Equations.of(responses(ensemble, 0, KNOTS, gains)[None]), gains, 1e-3)
    rest = missed(field, start, gains)
    after = np.square(rest).sum()
    ways = slopes(field, start, gains)[:, 0]
    reached = ways @ rest[0] / (np.linalg.norm(ways, axis=1) * np.linalg.norm(rest))
    assert after < before / 10
    assert np.abs(reached).max() < 0.05


def test_a_huge_damping_leaves_the_gains_as_they_are() -> None:
    ensemble = FlowEnsemble(linear(RATES), noise(2), GRID)
    found = Equations.of(np.array([responses(ensemble, row, KNOTS, PLAIN) for row in range(2)]))
    for own, before in zip(step(found, PLAIN, 1e12), PLAIN, strict=True):
        assert own == pytest.approx(before, abs=1e-9)


def test_terms_that_vanish_keep_their_gains_and_all_stay_in_range() -> None:
    ensemble = FlowEnsemble(polynomial(torch.zeros(1, 16, dtype=torch.float64)), noise(2), GRID)
    found = Equations.of(np.array([responses(ensemble, row, KNOTS, PLAIN) for row in range(2)]))
    assert step(found, PLAIN, 0.1) == PLAIN
    far = Equations(np.full((1, 1, 1), 1e-9), np.ones((1, 1)), np.ones(1))
    assert step(far, [(1.0,)], 1e-3) == [(MAX_GAIN,)]


def test_a_sample_that_is_not_finite_has_no_say() -> None:
    ensemble = FlowEnsemble(linear(RATES), noise(2), GRID)
    good = responses(ensemble, 0, KNOTS, PLAIN)
    both = Equations.of(np.array([good, np.full_like(good, np.nan)]))
    assert step(both, PLAIN, 0.1) == step(Equations.of(good[None]), PLAIN, 0.1)
