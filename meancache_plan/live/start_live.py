"""Starting plans for a pipeline that one holds."""

from collections.abc import Iterable, Mapping
from typing import Any

from meancache_plan.plan.start import start_schedule
from meancache_plan.schedule.artifact import Schedule


def start(pipe: Any, budgets: Iterable[int], *, call: Mapping[str, Any] | None = None) -> Schedule:
    """Plans for a pipeline that nobody has calibrated; nothing is run.

    They are better than evenly spread knots and than fewer steps where that was measured, and worse
    than refined ones: ``calibrate``, ``solve`` and ``refine`` make those. The runtime warns of them
    in every run, and refuses them where it is to be strict.

    Args:
        pipe: A flow-matching diffusers pipeline as it is. It is left as it was found.
        budgets: Denoiser refreshes B, each in 1 … T; in any order, repeats count once.
        call: What the pipeline is called with beside prompt and seed; its ``num_inference_steps``
            are the T steps of a run, the pipeline's own default where they are not given.

    Raises:
        InputError: A budget is out of range, or the pipeline takes no Euler steps.
        UnsupportedPipelineError: It has no denoiser or no scheduler.
        UnsupportedSchedulerError: Its scheduler follows no flow, or adds fresh noise.
    """
    from meancache_plan.source.diffusers.live_pipeline import at_hand
    from meancache_plan.source.diffusers.unloaded import check_euler
    from meancache_runtime.hosts.diffusers.sampler import replaced

    source = at_hand(pipe, call)
    check_euler(source.identity().id, replaced(pipe.scheduler))
    return start_schedule(source.identity(), budgets, source.recipe.steps)
