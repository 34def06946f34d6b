"""Two denoisers that a pipeline switches between: Wan 2.2."""

from __future__ import annotations

import pytest
import torch

from meancache_runtime import attach
from meancache_runtime.errors import MismatchError, SwitchError
from meancache_runtime.predictors import Adams, Hold, Jvp, Released
from tests.counting import denoisers_called
from tests.families.by_sampler import followed_by_hand
from tests.families.case import run
from tests.plans import STEPS
from tests.runtime import by_hand
from tests.runtime.hosts.diffusers.tiny_runs import WAN, two_denoisers


@pytest.fixture
def switch() -> int:
    """The step at which the plain pipeline first calls its second denoiser."""
    pipe = two_denoisers()
    calls = denoisers_called(pipe)
    run(pipe, WAN.call(STEPS))
    return calls.index("transformer_2") // 2


def test_a_plan_with_a_knot_at_the_switch_is_followed(switch):
    knots = (0, 1, switch, switch + 2)
    schedule = by_hand.schedule(
        STEPS, knots, [Hold(), Released(2), Jvp(2), Adams((1.02, 0.7, 0.4))]
    )
    pipe = two_denoisers()
    calls = denoisers_called(pipe)
    with followed_by_hand(type(pipe.scheduler), schedule.plans[0]):
        (expected,) = run(pipe, WAN.call(STEPS))
    calls.clear()
    with attach(pipe, schedule) as attached:
        (replayed,) = run(pipe, WAN.call(STEPS))
    assert (replayed - expected).norm() <= 1e-5 * expected.norm()
    assert calls == 4 * ["transformer"] + 4 * ["transformer_2"]
    assert attached.stats.denoiser_calls == 8


def test_a_plan_without_that_knot_is_refused_where_the_pipeline_switches(switch):
    pipe = two_denoisers()
    plain = run(pipe, WAN.call(STEPS))
    schedule = by_hand.schedule(STEPS, (0, 1, switch + 1))
    message = rf"at step {switch} the pipeline calls transformer_2.*no knot.*calibrate"
    with attach(pipe, schedule), pytest.raises(SwitchError, match=message):
        run(pipe, WAN.call(STEPS))
    assert torch.equal(run(pipe, WAN.call(STEPS))[0], plain[0])
    assert issubclass(SwitchError, MismatchError)


def test_a_switch_back_needs_a_knot_too():
    """Outputs kept are those since the latest knot, not those of any earlier one."""

    class ThereAndBack:
        def __init__(self) -> None:
            self.transformer = self.transformer_2 = lambda z: z
            self.scheduler = WAN.build().scheduler

        def __call__(self, steps: int) -> None:
            self.scheduler.set_timesteps(steps)
            z = torch.ones(1)
            for i, t in enumerate(self.scheduler.timesteps):
                denoiser = self.transformer_2 if i == 2 else self.transformer
                z = self.scheduler.step(denoiser(z), t, z, return_dict=False)[0]

    pipe = ThereAndBack()
    with attach(pipe, by_hand.schedule(STEPS, (0, 2, 3))) as attached:
        pipe(STEPS)
        assert attached.stats.denoiser_calls == 3
    with (
        attach(pipe, by_hand.schedule(STEPS, (0, 2))),
        pytest.raises(SwitchError, match="at step 3 the pipeline calls transformer,"),
    ):
        pipe(STEPS)
