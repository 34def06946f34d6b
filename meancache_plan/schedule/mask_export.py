"""A plan's knots as a step mask, for hosts that know which steps to run and no predictors.

cache-dit (as of 1.5.3) follows a mask, and sglang follows one through it.
"""

from itertools import groupby

from meancache_plan.errors import InputError
from meancache_runtime.schedule import Plan

LOSS = """\
# The steps at which a MeanCache plan of budget {budget} runs the model, of exactly {steps} steps.
# Its predictors are lost here: between these steps cache-dit extrapolates what its blocks gave
# (TaylorSeer), and the first block runs in every step. So what was measured of the plan does not
# hold for this file: judge it anew, or follow the plan itself with meancache-runtime.
"""

CACHE_DIT = """\
# With cache-dit: cache_dit.enable_cache(pipe, **cache_dit.load_configs("this file"))
cache_config:
  num_inference_steps: {steps}
  Fn_compute_blocks: 1
  Bn_compute_blocks: 0
  max_warmup_steps: 1
  steps_computation_mask: {mask}
  steps_computation_policy: static
  enable_taylorseer: true
  taylorseer_order: 1
"""

SGLANG = """\
# With sglang: in a shell `set -a; . ./FILE; set +a` before `sglang generate` or `sglang serve`
SGLANG_CACHE_DIT_ENABLED=true
SGLANG_CACHE_DIT_FN=1
SGLANG_CACHE_DIT_BN=0
SGLANG_CACHE_DIT_WARMUP=1
SGLANG_CACHE_DIT_TAYLORSEER=true
SGLANG_CACHE_DIT_TS_ORDER=1
SGLANG_CACHE_DIT_SCM_PRESET=none
SGLANG_CACHE_DIT_SCM_COMPUTE_BINS={computed}
SGLANG_CACHE_DIT_SCM_CACHE_BINS={cached}
SGLANG_CACHE_DIT_SCM_POLICY=static
"""


def to_cache_dit(plan: Plan, steps: int) -> str:
    """A plan's knots as YAML that ``cache_dit.load_configs`` takes.

    Args:
        plan: For a run of ``steps`` steps.
        steps: T.

    Raises:
        InputError: Every step is a knot.
    """
    mask = _mask(plan, steps)
    return _loss(plan, steps) + CACHE_DIT.format(steps=steps, mask=mask)


def to_sglang(plan: Plan, steps: int) -> str:
    """A plan's knots as environment variables of sglang: otherwise as :func:`to_cache_dit`."""
    runs = [(kind, len(list(run))) for kind, run in groupby(_mask(plan, steps))]
    computed, cached = (",".join(str(n) for kind, n in runs if kind == k) for k in (1, 0))
    return _loss(plan, steps) + SGLANG.format(computed=computed, cached=cached)


def _loss(plan: Plan, steps: int) -> str:
    return LOSS.format(budget=plan.budget, steps=steps)


def _mask(plan: Plan, steps: int) -> list[int]:
    """For each step whether the model runs: 1 or 0."""
    if len(plan.knots) == steps:
        raise InputError(
            f"the plan of budget {plan.budget} runs the model at every step, so there is nothing "
            "to cache: choose a smaller budget"
        )
    return [int(step in plan.knots) for step in range(steps)]
