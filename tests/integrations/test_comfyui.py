"""ComfyUI's protocol, as a small fake of it speaks it: a sampler function that follows a plan."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from meancache_plan.source.catalog import schedule_files
from meancache_runtime import integrate, load_schedule
from meancache_runtime.annotations import Generation
from meancache_runtime.errors import (
    BudgetError,
    GridMismatchError,
    StackedCacheError,
    StepCountError,
    SwitchError,
    UnsupportedSchedulerError,
)
from meancache_runtime.hosts.comfyui import sampler_function
from meancache_runtime.predictors import Adams, Hold, Jvp, Released
from meancache_runtime.schedule import Schedule
from tests.runtime import by_hand

pytestmark = pytest.mark.usefixtures("comfyui")

STEPS = 12
SIGMAS = tuple(by_hand.shifted(STEPS))
KNOTS = (0, 1, 4, 8)
PLANS = {
    "hold": [Hold()] * 4,
    "jvp": [Hold(), Hold(), Jvp(3), Jvp(4)],
    "released": [Hold(), Released(1), Released(4), Released(3)],
    "adams": [Hold(), Adams((1.0, 0.8)), Adams((0.99, 1.1, 0.7)), Adams((1.01,))],
}
PICTURE = torch.linspace(-1, 1, 32, dtype=torch.float64).reshape(2, 4, 2, 2)
NOISE = torch.randn(2, 4, 2, 2, generator=torch.Generator().manual_seed(0)).double()


def plan(name: str = "adams", **grid: Any) -> Schedule:
    return by_hand.schedule(STEPS, KNOTS, PLANS[name], SIGMAS, **grid)


def field(z: Tensor, sigma: Any, condition: float = 0.5) -> Tensor:
    return condition * torch.sin(2 * z) - z * sigma + 0.3


class Model:
    """A model of ComfyUI in its patcher; it counts its calls."""

    def __init__(self, sampling: Any = None) -> None:
        from comfy.model_sampling import CONST

        self.model = self
        self.model_sampling = sampling or type("ModelSampling", (CONST,), {})()
        self.model_options: dict[str, Any] = {"transformer_options": {}}
        self.calls: list[float] = []

    def apply_model(self, x: Tensor, timestep: Tensor, condition: float) -> Tensor:
        assert timestep.shape == (len(x),)
        self.calls.append(float(timestep[0]))
        level = timestep.view(-1, 1, 1, 1)
        return self.model_sampling.calculate_denoised(timestep, field(x, level, condition), x)


def run(
    function: Callable[..., Tensor],
    model: Model,
    dtype: torch.dtype = torch.float64,
    sigmas: Any = SIGMAS,
    cfg: float = 1.0,
    **given: Any,
) -> Tensor:
    from comfy.samplers import KSAMPLER, CFGGuider

    guider = CFGGuider(model)
    guider.set_conds(0.5, -0.2)
    guider.set_cfg(cfg)
    levels = torch.as_tensor(sigmas, dtype=max(dtype, torch.float32, key=lambda d: d.itemsize))
    return guider.sample(NOISE.to(dtype), PICTURE.to(dtype), KSAMPLER(function), levels, **given)


def euler(
    model: Any, x: Tensor, sigmas: Tensor, extra_args: Any, callback: Any, disable: Any
) -> Tensor:
    """The plain sampler of k-diffusion, by its definition."""
    for sigma, following in pairwise(sigmas):
        denoised = model(x, sigma * x.new_ones(len(x)), **extra_args)
        x = x + (x - denoised) / sigma * (following - sigma)
    return x


@pytest.mark.parametrize("displaced", [False, True])
@pytest.mark.parametrize("name", PLANS)
@pytest.mark.parametrize(("dtype", "close"), [(torch.float64, 1e-12), (torch.float32, 2e-6)])
def test_latents_are_those_of_integrate(
    name: str, displaced: bool, dtype: torch.dtype, close: float
) -> None:
    schedule = plan(name, finer_steps=36 if displaced else None)
    model = Model()
    found = run(sampler_function(schedule, budget=4), model, dtype)
    expected = integrate(field, NOISE, schedule, budget=4)
    assert found.dtype == dtype
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=close)
    assert model.calls == pytest.approx([SIGMAS[k] for k in KNOTS])


@pytest.mark.parametrize("name", schedule_files())
def test_every_shipped_plan_is_followed_in_its_number_of_calls(name: str) -> None:
    schedule = load_schedule(schedule_files()[name])
    sigmas = schedule.grid.sigmas or tuple(by_hand.shifted(schedule.grid.steps))
    for budget in schedule.budgets:
        model = Model()
        found = run(sampler_function(schedule, budget=budget), model, sigmas=sigmas)
        expected = integrate(field, NOISE, schedule, budget=budget, sigmas=sigmas)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
        assert len(model.calls) == len(schedule.plan(budget).knots)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("cfg", [1.0, 3.5])
@pytest.mark.parametrize("masked", [False, True])
def test_a_knot_at_every_step_gives_the_bits_of_euler(
    dtype: torch.dtype, cfg: float, masked: bool
) -> None:
    every = sampler_function(by_hand.schedule(STEPS, range(STEPS)), budget=STEPS)
    mask = (PICTURE > 0).to(dtype) if masked else None
    found, plain = (run(f, Model(), dtype, cfg=cfg, denoise_mask=mask) for f in (every, euler))
    assert torch.equal(found, plain)


def test_guidance_is_in_the_velocity_that_is_kept() -> None:
    model = Model()
    found = run(sampler_function(plan(), budget=4), model, cfg=3.5)

    def guided(z: Tensor, sigma: float) -> Tensor:
        wanted, other = field(z, sigma, 0.5), field(z, sigma, -0.2)
        return other + 3.5 * (wanted - other)

    expected = integrate(guided, NOISE, plan(), budget=4)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    assert len(model.calls) == 8


def test_what_a_mask_keeps_is_kept() -> None:
    mask = (PICTURE > 0).double()
    for name, budget in (("hold", 4), ("jvp", 4), ("released", 4)):
        found = run(sampler_function(plan(name), budget=budget), Model(), denoise_mask=mask)
        kept = mask == 0
        torch.testing.assert_close(found[kept], PICTURE[kept], rtol=0, atol=1e-12)
        assert not torch.allclose(found[~kept], PICTURE[~kept], atol=0.01)


def test_shipped_plans_give_back_what_a_mask_keeps_to_two_percent_of_the_noise() -> None:
    schedule = load_schedule(schedule_files()["reference/50-steps"])
    sigmas, mask = schedule.grid.sigmas, (PICTURE > 0).double()
    most = 0.02 * (NOISE - PICTURE)[mask == 0].abs()
    for budget in schedule.budgets:
        function = sampler_function(schedule, budget=budget)
        found = run(function, Model(), sigmas=sigmas, denoise_mask=mask)
        assert ((found - PICTURE)[mask == 0].abs() <= most).all()


def test_the_callback_sees_what_those_of_k_diffusion_see() -> None:
    seen: list[tuple[Any, ...]] = []
    run(sampler_function(plan(), budget=4), Model(), callback=lambda *a: seen.append(a))
    assert [(i, steps) for i, _, _, steps in seen] == [(k, STEPS) for k in KNOTS]
    for i, denoised, x, _ in seen:
        torch.testing.assert_close(denoised, x - SIGMAS[i] * field(x, SIGMAS[i]))


def test_a_second_run_equals_the_first_and_so_does_one_after_a_broken_one() -> None:
    function, model = sampler_function(plan(), budget=4), Model()

    def breaks(i: int, *_: Any) -> None:
        if i == 4:
            raise InterruptedError

    first = run(function, model)
    with pytest.raises(InterruptedError):
        run(function, model, callback=breaks)
    assert torch.equal(run(function, model), first)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_narrow_latents_stay_narrow_and_are_rounded_once_a_refresh(dtype: torch.dtype) -> None:
    found = run(sampler_function(plan(), budget=4), Model(), dtype)
    expected = integrate(field, NOISE, plan(), budget=4)
    assert found.dtype == dtype
    close = 5 * torch.finfo(dtype).eps * float(expected.abs().max())
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=close)


def test_rounding_to_float32_is_not_another_grid() -> None:
    uneven = [sigma if sigma in (0, 1) else sigma + 1e-9 for sigma in SIGMAS]
    schedule = by_hand.schedule(STEPS, KNOTS, PLANS["hold"], uneven, tolerance=0.0)
    assert run(sampler_function(schedule, budget=4), Model(), torch.float32).isfinite().all()


def test_another_step_count_and_another_grid_are_refused() -> None:
    function, model = sampler_function(plan(tolerance=0.01), budget=4), Model()
    with pytest.raises(StepCountError, match="take 12 steps"):
        run(function, model, sigmas=by_hand.shifted(STEPS + 1))
    with pytest.raises(GridMismatchError, match="differ by"):
        run(function, model, sigmas=by_hand.shifted(STEPS, shift=2.0))
    with pytest.raises(GridMismatchError, match="monotone"):
        run(function, model, sigmas=[*SIGMAS[:5], float("nan"), *SIGMAS[6:]])
    rising = by_hand.schedule(STEPS, KNOTS, PLANS["hold"])
    with pytest.raises(GridMismatchError, match="rise"):
        run(sampler_function(rising, budget=4), model, sigmas=SIGMAS[::-1])
    assert not model.calls


def test_model_samplings_of_another_rule_are_refused() -> None:
    from comfy.model_sampling import CONST, EPS, IMG_TO_IMG_FLOW

    function = sampler_function(plan(), budget=4)
    replaced = CONST()
    replaced.calculate_denoised = lambda *_: 0
    for sampling in (EPS(), IMG_TO_IMG_FLOW(), replaced):
        model = Model(sampling)
        with pytest.raises(UnsupportedSchedulerError, match=type(sampling).__name__):
            run(function, model)
        assert not model.calls


@pytest.mark.parametrize("name", ["EasyCache", "LazyCache"])
def test_other_caches_are_refused(name: str) -> None:
    model = Model()
    model.model_options["transformer_options"]["easycache"] = SimpleNamespace(name=name)
    with pytest.raises(StackedCacheError, match=f"take the {name} node out"):
        run(sampler_function(plan(), budget=4), model)
    assert not model.calls


def test_what_cannot_be_followed_is_refused_before_any_run() -> None:
    with pytest.raises(BudgetError, match="no plan for budget 5"):
        sampler_function(plan(), budget=5)
    with pytest.raises(SwitchError, match="two denoisers"):
        sampler_function(plan(switches=(4,)), budget=4)


@pytest.mark.parametrize(
    ("noted", "branches", "cfg", "says"),
    [
        ({"true_cfg_scale": 4.0}, 2, 4.0, None),
        ({"true_cfg_scale": 4.0, "guidance_scale": 3.5}, 2, 7.0, "true_cfg_scale 7, .* with 4"),
        ({"guidance_scale": 5.0}, 2, 5.0, None),
        ({"guidance_scale": 5.0}, 2, 1.0, "guidance_scale 1, .* with 5"),
        ({"guidance_scale": 3.5}, 1, 1.0, None),
        ({"guidance_scale": 3.5}, 1, 4.0, "true_cfg_scale 4, .* with 1"),
    ],
)
def test_another_scale_is_named_as_the_schedule_names_it(
    noted: dict[str, float], branches: int, cfg: float, says: str | None
) -> None:
    made = Generation(None, None, None, noted, "float32", calls=(branches,) * STEPS)
    function = sampler_function(replace(plan(), generation=made), budget=4)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        run(function, Model(), cfg=cfg)
    assert [bool(re.search(says or "", str(each.message))) for each in told] == [True] * bool(says)
