"""The step machine: due at knots, done at the end, and no tensor is kept for longer than needed."""

from __future__ import annotations

import pytest
import torch

from meancache_runtime import Replay
from meancache_runtime.binding import bind
from meancache_runtime.errors import ReplayError
from meancache_runtime.predictors import Adams, Hold
from tests.runtime import by_hand

VELOCITY = torch.linspace(-2, 2, 12, dtype=torch.float64)


def machine(knots, predictors=None):
    return Replay(bind(by_hand.schedule(20, knots, predictors).plans[0], by_hand.shifted(20)))


def test_the_step_machine_says_when_it_is_due_and_when_it_is_done():
    replay = machine((0, 3, 7))
    due = []
    while not replay.done:
        due.append(replay.due)
        replay.advance(VELOCITY)
    assert [i for i, flag in enumerate(due) if flag] == [0, 3, 7]
    assert len(due) == 20
    with pytest.raises(ReplayError, match="reset"):
        replay.advance(VELOCITY)
    replay.reset()
    assert replay.due
    assert not replay.done


def test_a_host_may_reuse_its_tensor_while_the_answer_still_serves():
    replay = machine((0, 3, 7), [Hold(), Adams((1.0, 1.0)), Hold()])
    buffer = torch.full((2,), 5.0)
    replay.advance(buffer)
    buffer.fill_(99.0)
    assert torch.equal(replay.advance(buffer), torch.full((2,), 5.0))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_answers_have_the_velocitys_dtype_and_the_log_is_wide(dtype):
    """Order 2 from two bfloat16 velocities, computed as if in float32 and rounded once."""
    replay = machine((0, 10), [Hold(), Adams((1.0, 1.0))])
    first = torch.linspace(1, 2, 1000).to(dtype)
    second = first * 1.01
    answers = [replay.advance(first if step < 10 else second) for step in range(11)]
    answer, form = answers[-1], replay.plan.forms[10]
    exact = form[0] * first.double() + form[10] * second.double()
    assert answer.dtype == dtype
    error = (answer.double() - exact).abs() / exact.abs()
    assert error.max() <= 0.51 * torch.finfo(dtype).eps + 4 * torch.finfo(torch.float32).eps


def test_tensors_are_dropped_as_soon_as_no_later_interval_needs_them():
    replay = machine((0, 5, 10, 15), [Hold(), Hold(), Adams((1.0, 1.0)), Hold()])
    for step in range(20):
        replay.advance(VELOCITY)
        assert sorted(replay._fresh) == ([5] if 5 <= step < 10 else [])
    assert replay._answer is None
