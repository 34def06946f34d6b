"""Every host follows the same plans to the same latents, in as many calls, and refuses the same."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pytest

from meancache_runtime.errors import GridMismatchError, NonFiniteError, StepCountError
from tests.hosts.catalogue import HOSTS
from tests.hosts.conformance import (
    KNOTS,
    NOISE,
    PLANS,
    RUNS,
    SIGMAS,
    STILL,
    allowed,
    expected,
    run_refused,
    start,
)
from tests.hosts.host import Host, Model

every_host = pytest.mark.parametrize("host", HOSTS, ids=lambda host: host.name)
ERRORS = {
    "NaN": (NonFiniteError, rf"knot {KNOTS[2]} .*σ = {SIGMAS[KNOTS[2]]:.3f}"),
    "another grid": (GridMismatchError, "differ by"),
    "another step count": (StepCountError, f"made for {len(SIGMAS) - 1}"),
}


@every_host
@pytest.mark.parametrize("name", PLANS)
def test_latents_are_those_of_the_plan_in_float64_to_the_hosts_precision(
    host: Host, name: str
) -> None:
    for dtype in host.dtypes:
        _, run = start(host, name, dtype)
        off = np.abs(run() - expected(name)).max()
        assert off <= allowed(dtype), dtype


@every_host
@pytest.mark.parametrize("name", PLANS)
def test_the_model_runs_at_the_knots_alone(host: Host, name: str) -> None:
    model, run = start(host, name, host.dtypes[0])
    run()
    assert model.calls == len(PLANS[name].plans[0].knots) * host.branches


@pytest.mark.parametrize(
    "host", [host for host in HOSTS if not host.own_levels], ids=lambda host: host.name
)
def test_steps_of_no_length_change_nothing_and_the_model_never_runs_there(host: Host) -> None:
    model, dtype = Model(), host.dtypes[0]
    run = host.build(STILL, STILL.budgets[0], model, dtype)
    found = run(NOISE, STILL.grid.sigmas or ())
    assert np.abs(found - expected("every predictor")).max() <= allowed(dtype)
    assert model.calls == len(KNOTS) * host.branches


@every_host
def test_a_second_run_equals_the_first_and_so_does_one_after_a_broken_one(host: Host) -> None:
    model, run = start(host, "every predictor", host.dtypes[0])
    first = run()
    assert np.array_equal(run(), first)
    model.breaks_at = SIGMAS[KNOTS[1]]
    with nullcontext() if host.silent else pytest.raises(NonFiniteError):
        run()
    model.breaks_at = None
    assert np.array_equal(run(), first)


@every_host
@pytest.mark.parametrize("case", RUNS)
def test_what_the_plan_was_not_made_for_is_refused_by_name(host: Host, case: str) -> None:
    if case == "NaN" and host.silent:
        assert np.isnan(run_refused(host, case)).all()
        return
    error, words = ERRORS[case]
    with pytest.raises(error, match=words):
        run_refused(host, case)
