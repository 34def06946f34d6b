"""The benchmark of other terms that are fitted jointly: what it picks, fits and adds."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks.richer import pictures
from benchmarks.richer_joint import KINDS, VELOCITY, Responses, Term, equations, gains, mean, moved
from meancache_plan.improve.closed_loop import prior_gains, with_gains
from meancache_plan.plan.simple_plans import adams_plan

TERMS = [VELOCITY[0], VELOCITY[0], VELOCITY[1], Term("latents")]
WANTED = np.array([0.5, -0.25, 1.0, 2.0])


def answers() -> Responses:
    """Of eight samples that miss exactly what the gains of all terms would add."""
    parts = np.random.default_rng(0).normal(size=(8, len(TERMS), 40))
    missed = np.einsum("p,spn->sn", WANTED, parts)
    columns = np.concatenate([parts, missed[:, None]], axis=1)
    return Responses(TERMS, columns @ columns.transpose(0, 2, 1))


def test_gains_of_all_terms_leave_nothing_and_of_some_leave_what_the_others_would_add() -> None:
    everything = [*VELOCITY, Term("latents")]
    found = gains(answers(), everything)
    assert found == pytest.approx(WANTED, rel=0.05)
    left = equations(answers(), everything).errors(found).sum()
    without = equations(answers(), VELOCITY).errors(gains(answers(), VELOCITY)).sum()
    assert left < 0.01 * without


def test_terms_of_a_kind_keep_their_order() -> None:
    chosen = equations(answers(), [Term("latents"), VELOCITY[1]])
    whole = answers().products
    assert np.array_equal(chosen.left, whole[:, 2:4, 2:4])
    assert np.array_equal(chosen.right, whole[:, 2:4, -1])


def test_the_mean_is_each_channels_of_the_picture_that_flux_packs() -> None:
    packed = torch.randn(2, 9, 16, dtype=torch.float64)
    shown = pictures(packed)
    expected = shown.mean((-2, -1), keepdim=True).expand_as(shown)
    torch.testing.assert_close(pictures(mean(packed)), expected)


def test_what_is_added_to_gains_goes_to_each_interval_in_turn() -> None:
    plan = with_gains(adams_plan((0, 3, 6), 3), [(0.9,), (1.0, 0.5), (1.0, 0.7, 0.2)])
    found = prior_gains(moved(plan, np.arange(1.0, 7.0)))
    assert found == [(1.9,), (3.0, 3.5), (5.0, 5.7, 6.2)]


def test_every_kind_but_the_smaller_order_has_the_terms_of_order_3_too() -> None:
    assert all({*VELOCITY[:3]} <= {*kind} for name, kind in KINDS.items() if name != "order 2")
