"""The field: who competes with a schedule, and in which settings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from meancache_plan.judge.compare.peers import (
    attention_caches,
    block_caches,
    cache_dit,
    few_step_solvers,
    plan_peers,
)
from meancache_plan.judge.contender import Contender
from meancache_plan.judge.findings import FULL, PLAN
from meancache_plan.judge.rivals import check_name, check_rival
from meancache_plan.judge.sample_cost import Forms
from meancache_plan.schedule.artifact import Schedule
from meancache_plan.source.diffusers.pipeline import Pipeline
from meancache_plan.source.recipe import digest


@dataclass(frozen=True, slots=True)
class Skipping:
    """Thresholds of the change, and how many steps may be skipped in a row."""

    thresholds: tuple[float, ...]
    most: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Extrapolating:
    """Steps from one full computation to the next, and orders of the Taylor series."""

    intervals: tuple[int, ...]
    orders: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class WarmingUp:
    """Thresholds of the change, and how many full computations come first."""

    thresholds: tuple[float, ...]
    full: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Sweep:
    """The settings in which each method competes.

    Attributes:
        budgets: Of the plans and of rival schedules; None for all that the judged one has.
        every_budget: Few-step runs cost as much as each plan, some a little more or less; else
            as much as three of them.
        first_block: FirstBlockCache's thresholds.
        mag: MagCache's.
        mag_prompts: Calibration prompts that MagCache's ratios are measured on.
        taylor: TaylorSeer's.
        taylor_lite: Those of its lite mode.
        sea: SeaCache's.
        attention: Of PAB and FasterCache: every so many steps.
        dual_block: DBCache's.
        finer: How many times more steps the run has that shows where the flow itself leads; 0
            for no such run.
        counted: Samples, at most, on which FLOPs are counted where they depend on the sample.
    """

    budgets: tuple[int, ...] | None = None
    every_budget: bool = True
    first_block: tuple[float, ...] = (0.02, 0.05, 0.08, 0.12, 0.2, 0.3, 0.5, 0.8)
    mag: Skipping = Skipping((0.02, 0.04, 0.06, 0.12, 0.3), most=(3, 12))
    mag_prompts: int = 4
    taylor: Extrapolating = Extrapolating((3, 6), orders=(1,))
    taylor_lite: Extrapolating = Extrapolating((2, 3, 4, 5, 6, 8, 11), orders=(1, 2))
    sea: Skipping = Skipping((0.1, 0.25, 0.5, 1.0), most=(2, 4, 12))
    attention: tuple[int, ...] = (2, 4, 8)
    dual_block: WarmingUp = WarmingUp((0.05, 0.08, 0.12, 0.2, 0.4, 0.8), full=(4,))
    finer: int = 4
    counted: int = 10_000


THOROUGH = Sweep()
"""What ``compare`` measures by default."""

QUICK = Sweep(
    every_budget=False,
    first_block=(0.1, 0.3),
    mag=Skipping((0.06,), most=(3,)),
    mag_prompts=1,
    taylor=Extrapolating((3,), orders=(1,)),
    taylor_lite=Extrapolating((4, 8), orders=(1,)),
    sea=Skipping((0.25,), most=(2,)),
    attention=(4,),
    dual_block=WarmingUp((0.1, 0.4), full=(4,)),
    finer=0,
    counted=1,
)
"""A minute's or two's worth on a small model."""

RETENTION = 0.1
"""MagCache never skips in this share of the first steps: half of its default, for small budgets."""


def field(
    pipeline: Pipeline,
    schedule: Schedule,
    calibration: Sequence[str],
    forms: Forms,
    *,
    rivals: Mapping[str, Schedule] | None = None,
    sweep: Sweep = THOROUGH,
) -> tuple[Contender, ...]:
    """Everyone, ready to be put into the pipeline; who is known to be unable says so then.

    Args:
        pipeline: Asked for its noise levels, and for MagCache's ratios; left as it was found.
        schedule: What is judged.
        calibration: Calibration prompts.
        forms: How the pipeline calls its denoiser.
        rivals: Other schedules for the same steps, by the names of their rows.
        sweep: The settings.

    Raises:
        InputError: A rival is for another number of steps, or its name is taken.
        BudgetError: A schedule has no plan for one of the budgets.
    """
    steps = schedule.grid.steps
    judged = plan_peers.plans(PLAN, schedule, sweep.budgets)
    found = list(judged)
    for name, rival in (rivals or {}).items():
        check_rival(name, rival, steps, sweep.budgets or ())
        check_name(name, (PLAN, FULL))
        found += plan_peers.plans(name, rival, sweep.budgets)
    own = type(pipeline.pipe.scheduler).__name__
    sampler = own.removeprefix("FlowMatch").removesuffix("Scheduler").removesuffix("Discrete")
    costs = _few(sorted(each.budget or steps for each in judged), steps, sweep)
    found += plan_peers.fewer_steps(sampler, costs)
    found += few_step_solvers.solvers(pipeline, calibration[0], costs)
    others = [*found, *_caches(pipeline, steps, calibration, forms, sweep)]
    methods = {each.name for each in others if each.budget is None}
    for name in rivals or {}:
        check_name(name, methods)
    return tuple(others)


def _few(budgets: Sequence[int], steps: int, sweep: Sweep) -> list[int]:
    """What few-step runs may cost, in refreshes, to stand beside these plans."""
    if not sweep.every_budget:
        wanted = {budgets[0], budgets[len(budgets) // 2], budgets[-1]}
    else:
        wanted = {3 * budgets[0] // 4, *budgets, -(-5 * budgets[-1] // 4)}
    return sorted(number for number in wanted if 1 < number < steps)


def _caches(
    pipeline: Pipeline, steps: int, calibration: Sequence[str], forms: Forms, sweep: Sweep
) -> list[Contender]:
    """The caches of diffusers and of cache-dit."""
    prompts = calibration[: sweep.mag_prompts]
    ratios = block_caches.magnitudes(pipeline, prompts, 0, steps)
    skipping, dual = sweep.mag, sweep.dual_block
    return [
        *block_caches.first_block(steps, sweep.first_block),
        *block_caches.mag(
            steps, ratios, skipping.thresholds, skipping.most, RETENTION, digest(prompts)
        ),
        *block_caches.taylorseer(steps, sweep.taylor.intervals, sweep.taylor.orders, lite=False),
        *block_caches.taylorseer(
            steps, sweep.taylor_lite.intervals, sweep.taylor_lite.orders, lite=True
        ),
        *block_caches.sea(steps, sweep.sea.thresholds, sweep.sea.most),
        *attention_caches.pyramid(steps, forms, sweep.attention),
        *attention_caches.faster(steps, forms, sweep.attention),
        *cache_dit.dual_block(steps, forms, dual.thresholds, dual.full, None),
        *cache_dit.dual_block(steps, forms, dual.thresholds, dual.full, 1),
    ]
