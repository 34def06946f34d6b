"""The benchmark of other terms that are fitted jointly: what it picks, fits and adds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.richer import pictures
from benchmarks.richer_joint import (
    VELOCITY,
    Responses,
    Term,
    equations,
    gains,
    mean,
    moved,
    responses,
)
from benchmarks.samples import PipelineSamples
from meancache_plan.improve import joint_fit
from meancache_plan.improve.closed_loop import prior_gains, with_gains
from meancache_plan.plan.simple_plans import adams_plan
from tests.fields import linear, noise, shifted_grid
from tests.improve.flow_ensemble import FlowEnsemble

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


def test_order_3_answers_as_the_joint_fit_finds() -> None:
    """On a flow in place of a pipeline, of whose velocities guidance adds a third."""
    rates = torch.linspace(-2.0, 1.5, 16, dtype=torch.float64).reshape(4, 4)
    flow = _Guided(linear(rates), noise(4).unflatten(1, (4, 4)), shifted_grid(12))
    own = [(0.9,), (1.0, 0.5), (1.0, 0.7, 0.2), (1.1, 1.0, 0.4)]
    plan = with_gains(adams_plan((0, 3, 5, 8), 4), own)
    found = responses(cast("PipelineSamples", flow), [0, 2], plan)
    kept = [i for i, term in enumerate(found.terms) if term in VELOCITY[:3]] + [len(found.terms)]
    for row, products in zip((0, 2), found.products, strict=True):
        expected = joint_fit.responses(flow, row, plan.knots, own)
        assert products[np.ix_(kept, kept)] == pytest.approx(expected, rel=1e-4)
    guided = [i for i, term in enumerate(found.terms) if term == Term("guidance", 1)]
    plain = [i for i, term in enumerate(found.terms) if term == VELOCITY[0]]
    share = found.products[:, guided, guided] / found.products[:, plain, plain]
    assert share == pytest.approx(np.full_like(share, 1 / 9), rel=1e-3)


class _Guided(FlowEnsemble):
    """An ensemble that knows what guidance adds."""

    def guided(self, rows: Sequence[int], step: int, latents: Tensor) -> tuple[Tensor, Tensor]:
        velocity = self.velocity(rows, step, latents)
        return velocity, velocity / 3
