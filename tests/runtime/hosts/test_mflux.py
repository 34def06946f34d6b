"""mflux makes our scheduler from a request, and a request that fits no plan is refused by name."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

from meancache_runtime.errors import (
    GridMismatchError,
    ScheduleError,
    ScheduleNotFoundError,
    StepCountError,
)
from meancache_runtime.predictors import Adams, Hold
from tests.hosts.in_mflux import faked, request
from tests.runtime import by_hand

STEPS = 8
SIGMAS = by_hand.shifted(STEPS)
PLAN = by_hand.schedule(STEPS, (0, 2, 5), [Hold(), Adams((1.0, 1.0)), Hold()], SIGMAS, 1e-6)
BUDGET = 3


def test_it_shows_mflux_the_noise_levels_of_the_knots() -> None:
    with faked(PLAN, BUDGET):
        found = request(BUDGET).scheduler.sigmas
    assert found.dtype == np.float32
    assert found.tolist() == pytest.approx([SIGMAS[k] for k in (0, 2, 5, 8)], abs=1e-7)


@pytest.mark.parametrize(
    ("asked", "error", "words"),
    [
        ({"steps": STEPS}, StepCountError, "8 steps from step 0 on: .* made for 8 .* ask for 3"),
        ({"steps": BUDGET, "first": 1}, StepCountError, "no image strength"),
        ({"steps": BUDGET, "shift": 2.0}, GridMismatchError, "differ by"),
    ],
)
def test_a_request_that_fits_no_plan_is_refused(
    asked: dict[str, Any], error: type[Exception], words: str
) -> None:
    with faked(PLAN, BUDGET), pytest.raises(error, match=words):
        request(**asked)


def test_a_schedule_must_be_named_and_be_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with faked(PLAN, BUDGET):
        with open(os.environ["MEANCACHE_SCHEDULE"], "w") as file:
            file.write("{}")
        with pytest.raises(ScheduleError):
            request(BUDGET)
        monkeypatch.delenv("MEANCACHE_SCHEDULE")
        with pytest.raises(ScheduleNotFoundError, match="set MEANCACHE_SCHEDULE"):
            request(BUDGET)


def test_steps_are_taken_in_order_and_a_new_run_begins_at_the_first() -> None:
    z = np.ones(3, np.float32)
    with faked(PLAN, BUDGET):
        scheduler = request(BUDGET).scheduler
        first = scheduler.step(noise=z, timestep=0, latents=z)
        with pytest.raises(StepCountError, match="step 2 is asked for, where 1 is due"):
            scheduler.step(noise=z, timestep=2, latents=z)
        assert np.array_equal(scheduler.step(noise=z, timestep=0, latents=z), first)
