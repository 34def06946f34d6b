"""Where knots may go, and in which order that is tried."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from meancache_plan.improve.moves import moves_of
from tests.improve.refinement import Case, case


@pytest.fixture(scope="module")
def flow() -> Case:
    return case(12, (3, 5))


def test_moves_are_legal_and_the_most_promising_come_first(flow: Case) -> None:
    where = moves_of(flow.profile, "width", 12)
    found = where.near((0, 2, 11))
    assert set(found) == {(0, 1, 11), (0, 3, 11), (0, 4, 11), (0, 1, 10), (0, 2, 10), (0, 2, 9)}
    promised = [where.predicted(knots) for knots in found]
    assert promised == sorted(promised, reverse=True)
    assert len(set(promised)) == len(promised)


def test_no_move_leaves_a_step_at_which_another_denoiser_takes_over(flow: Case) -> None:
    settings = flow.profile.settings.model_copy(update={"switches": (4,)})
    where = moves_of(replace(flow.profile, settings=settings), "width", 12)
    found = where.near((0, 4, 9))
    assert found
    assert all(4 in knots for knots in found)


def test_no_move_makes_an_interval_longer_than_allowed_or_than_the_plan_has(flow: Case) -> None:
    where = moves_of(flow.profile, "width", 5)
    for knots, longest in (((0, 4, 8), 5), ((0, 2, 9), 7)):
        found = where.near(knots)
        assert max(np.diff((*each, 12)).max() for each in found) == longest
        assert all(math.isfinite(where.predicted(each)) for each in found)


def test_where_every_interval_is_exact_nothing_is_missed(flow: Case) -> None:
    where = moves_of(flow.profile, "width", 12)
    assert where.predicted(tuple(range(12))) == math.inf
    assert where.near(tuple(range(12))) == []
