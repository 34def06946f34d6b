"""What is said of a request, in one sentence with its fix, and what is refused in a run."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from math import inf
from typing import Any

import pytest
import torch
from diffusers import FirstBlockCacheConfig, FlowMatchEulerDiscreteScheduler, FluxPipeline
from diffusers.hooks import HookRegistry, ModelHook
from torch.distributed.fsdp import FSDPModule

from meancache_runtime import MeanCacheScheduler, attach, integrate
from meancache_runtime.annotations import Also, Generation
from meancache_runtime.errors import ReplayError, RequestMismatchError, StackedCacheError
from tests.plans import BUDGET, KNOTS, SCHEDULE, STEPS
from tests.runtime import by_hand
from tests.runtime.hosts.diffusers.tiny_runs import run as run_any
from tests.tiny import SIDE

GUIDANCE = {"true_cfg_scale": 2.5, "guidance_scale": 1.0}
MADE = Generation(SIDE, SIDE, None, GUIDANCE, "float32", False, calls=(2,) * STEPS)
CALIBRATED = replace(SCHEDULE, generation=MADE)


def run(pipe: Any, **options: Any) -> None:
    run_any(pipe, **({"negative_prompt": "", "true_cfg_scale": 2.5} | options))


def said(pipe: FluxPipeline, **options: Any) -> list[str]:
    with attach(pipe, CALIBRATED) as attachment, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run(pipe, **options)
    return [warning.message for warning in attachment.stats.warnings]


def test_what_is_other_is_said_in_one_sentence_with_what_would_settle_it(
    tiny_flux: FluxPipeline,
) -> None:
    also = "or judge this with 'meancache-plan evaluate --also "
    assert said(tiny_flux) == []
    [off] = said(tiny_flux, true_cfg_scale=1.0)
    assert "pass true_cfg_scale=2.5, " + also + "true_cfg_scale=1', or calibrate" in off
    [dropped] = said(tiny_flux, negative_prompt=None)
    assert "(no negative branch ran); " in dropped
    assert "pass negative_prompt='', if none is passed" in dropped
    both = said(tiny_flux, true_cfg_scale=7.0, negative_prompt=None)
    assert ["through the denoiser once" in each for each in both] == [False, True]
    [words] = said(tiny_flux, negative_prompt="ugly")
    assert "pass negative_prompt='', " + also + "negative_prompt=…'" in words


def _enabled(transformer: Any) -> None:
    transformer.enable_cache(FirstBlockCacheConfig(threshold=0.1))


def _hooked_in_by_hand(transformer: Any) -> None:
    registry = HookRegistry.check_if_exists_or_initialize(transformer.transformer_blocks[0])
    registry.register_hook(ModelHook(), "their_own_cache")


@pytest.mark.parametrize(
    ("add", "calls"), [(_enabled, 2), (_hooked_in_by_hand, 2 * BUDGET)], ids=["enabled", "by hand"]
)
def test_a_cache_that_is_added_in_mid_run_is_refused(
    tiny_flux: FluxPipeline, add: Callable[[Any], None], calls: int
) -> None:
    transformer = tiny_flux.transformer

    def callback(_pipe: Any, step: int, _t: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        if step == 0:
            add(transformer)
        return tensors

    with attach(tiny_flux, CALIBRATED) as attachment:
        with pytest.raises(StackedCacheError, match=r"(FirstBlockC|their_own_c)ache answers"):
            run(tiny_flux, callback_on_step_end=callback)
        assert attachment.stats.denoiser_calls == calls


MEASURED = {"psnr_latent": 40.0, "psnr": 40.0, "ssim": 1.0, "speedup": 2.0}


def test_a_measured_request_is_not_unstable_as_the_bounds_are_of_the_calibrated_one(
    tiny_flux: FluxPipeline,
) -> None:
    row = Also({"true_cfg_scale": 4.0}, None, (2,) * STEPS, MEASURED)
    narrow = replace(SCHEDULE.plans[0], innovation=(1e-6,) * (BUDGET - 1))
    with attach(tiny_flux, replace(CALIBRATED, plans=(narrow,), also={BUDGET: (row,)})) as attached:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            run(tiny_flux, true_cfg_scale=4.0)
        assert (attached.stats.request, attached.stats.warnings) == ("measured", ())
        assert attached.stats.innovation is not None
        assert attached.stats.innovation > 1
        with pytest.warns(UserWarning, match="moves otherwise"):
            run(tiny_flux)


@pytest.mark.parametrize("policy", ["refresh", "raise"])
def test_a_policy_that_could_not_act_is_refused(tiny_flux: FluxPipeline, policy: Any) -> None:
    says = rf"no bounds \(innovation\), on which on_unstable '{policy}' would act"
    with pytest.raises(ReplayError, match=says):
        attach(tiny_flux, SCHEDULE, on_unstable=policy)
    options: dict[str, Any] = {"budget": BUDGET, "on_unstable": policy}
    with pytest.raises(ReplayError, match=says):
        integrate(lambda z, _: z, 0.5, SCHEDULE, sigmas=by_hand.shifted(STEPS), **options)
    if policy == "raise":
        with pytest.raises(ReplayError, match=says):
            MeanCacheScheduler.from_schedule(tiny_flux.scheduler, SCHEDULE, **options)


def test_weights_that_processes_share_are_not_refreshed_for_one_of_them(
    tiny_flux: FluxPipeline,
) -> None:
    bounded = replace(SCHEDULE.plans[0], innovation=(1.0,) * (BUDGET - 1))
    schedule = replace(SCHEDULE, plans=(bounded,))
    module = tiny_flux.transformer.transformer_blocks[0]
    own = type(module)
    module.__class__ = type(f"FSDP{own.__name__}", (FSDPModule, own), {})  # as fully_shard does
    with pytest.raises(ReplayError, match=r"pipe\.transformer.*\(FSDP\).*'warn' or 'raise'"):
        attach(tiny_flux, schedule, on_unstable="refresh")
    attach(tiny_flux, schedule).detach()
    module.__class__ = own
    attach(tiny_flux, schedule, on_unstable="refresh").detach()


def test_there_is_no_innovation_before_a_knot_with_a_bound(tiny_flux: FluxPipeline) -> None:
    seen: list[float | None] = []

    def callback(_pipe: Any, _step: int, _t: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        seen.append(attachment.stats.innovation)
        return tensors

    limited = replace(SCHEDULE.plans[0], innovation=(inf, 1e6, 1e6))
    with attach(tiny_flux, replace(SCHEDULE, plans=(limited,))) as attachment:
        run(tiny_flux, callback_on_step_end=callback)
    assert [share is None for share in seen] == [step < KNOTS[2] for step in range(STEPS)]


def test_strict_is_refused_where_a_schedule_does_not_say_what_was_calibrated(
    tiny_flux: FluxPipeline,
) -> None:
    says = "does not say how its samples were made"
    with pytest.raises(RequestMismatchError, match=says):
        attach(tiny_flux, SCHEDULE, strict=True)
    own = tiny_flux.scheduler
    with pytest.raises(RequestMismatchError, match=says):
        MeanCacheScheduler.from_schedule(own, SCHEDULE, budget=BUDGET, strict=True)


def strict_scheduler(made: Generation = MADE) -> MeanCacheScheduler:
    return MeanCacheScheduler.from_schedule(
        FlowMatchEulerDiscreteScheduler(shift=3.0),
        replace(SCHEDULE, generation=made),
        budget=BUDGET,
        strict=True,
    )


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (replace(MADE, elements=512), "latents have 256 numbers"),
        (replace(MADE, dtype="bfloat16"), None),  # velocities in float32 tell nothing
    ],
)
def test_a_strict_scheduler_refuses_what_it_sees(
    tiny_flux: FluxPipeline, made: Generation, says: str | None
) -> None:
    tiny_flux.scheduler = strict_scheduler(made)
    assert tiny_flux.scheduler.config["meancache_strict"] is True
    if says is None:
        run(tiny_flux)
        return
    with pytest.raises(RequestMismatchError, match=says):
        run(tiny_flux)


def test_a_strict_scheduler_refuses_a_run_that_begins_from_a_picture() -> None:
    made = strict_scheduler()
    made.set_timesteps(STEPS)
    with pytest.raises(RequestMismatchError, match="begins from a picture"):
        made.scale_noise(torch.zeros(1, 3), made.timesteps[:1], torch.ones(1, 3))
