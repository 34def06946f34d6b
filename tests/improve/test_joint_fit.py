"""The joint fit: how final samples answer to gains, against the runtime's own replays."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from meancache_plan.core.reweighted import MAX_GAIN, Equations
from meancache_plan.files.journal import Journal
from meancache_plan.improve.closed_loop import fit, prior_gains, with_gains
from meancache_plan.improve.joint_fit import Copies, Gains, refreshes, responses, step
from meancache_plan.improve.trials import Trials
from meancache_plan.plan.simple_plans import adams_plan
from meancache_runtime import integrate
from meancache_runtime.schedule import Grid, Schedule
from tests.fields import Field, euler, linear, noise, polynomial, shifted_grid
from tests.improve.flow_ensemble import Counting, FlowEnsemble
from tests.improve.refinement import Overflowing

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
    for rank, expected in ((9, 1 + 2 + 4 + 5 + 8), (3, 1 + 2 + 4 + 4 + 4)):
        ensemble.refreshes = 0
        responses(ensemble, 0, KNOTS, gains, rank=rank)
        assert ensemble.refreshes == refreshes(gains, rank) == expected


def test_directions_hold_all_of_copies_that_lie_in_few() -> None:
    torch.manual_seed(0)
    plane, copies = torch.randn(2, 16, dtype=torch.float64), Copies(noise(1))
    for a, b in (*torch.randn(9, 2).tolist(), (1e-6, 3e-6), (0.0, 0.0)):
        copies.add((a * plane[0] + b * plane[1])[None], 0.5)
    for rank in (2, 8):
        directions, shares = copies.directions(rank)
        assert (shares @ directions).numpy() == pytest.approx(copies.offsets.numpy(), abs=1e-12)
        lengths = directions.norm(dim=1).tolist()
        assert sorted(lengths) == pytest.approx([0.0] * (rank - 2) + [1.0, 1.0])
    directions, shares = copies.directions(1)
    turned = plane.T @ torch.randn(2, 200, dtype=torch.float64)
    turned /= turned.norm(dim=0)
    units = copies.offsets[:-1] / copies.offsets[:-1].norm(dim=1, keepdim=True)
    best = (units @ directions.T).square().sum()
    assert best >= (units @ turned).square().sum(dim=0).max()


def test_a_few_directions_answer_nearly_as_every_copy_does() -> None:
    start, field = noise(3), linear(RATES)
    ensemble = FlowEnsemble(field, start, GRID)
    gains = fit(ensemble, range(3), KNOTS, PLAIN, order=3, shrinkage=0.1).gains
    whole, few, fewest = (responses(ensemble, 1, KNOTS, gains, rank=rank) for rank in (99, 4, 1))
    size = np.abs(whole).max()
    assert 0 < np.abs(few - whole).max() < 0.02 * size
    assert np.abs(fewest - whole).max() > 0.1 * size


def test_a_sample_that_overflows_on_its_way_answers_nothing() -> None:
    found = responses(Overflowing(linear(RATES), noise(3), GRID), 2, KNOTS, PLAIN)
    assert not len(Equations.of(found[None]).square)


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
