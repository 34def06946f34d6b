"""Calibrate a pipeline that one holds."""

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from meancache_plan.errors import check_kind
from meancache_plan.live.asked_samples import check_samples, output
from meancache_plan.live.progress import Progress, watched
from meancache_plan.measure import calibrate as measuring
from meancache_plan.measure.profile import Profile
from meancache_plan.measure.profile_settings import Measuring
from meancache_plan.measure.shards import Shard
from meancache_plan.source.protocols import Source


def calibrate(
    pipe: Any,
    prompts: Sequence[str],
    seeds: Sequence[int] = (0,),
    path: str | PathLike[str] | None = None,
    *,
    call: Mapping[str, Any] | None = None,
    shard: str | None = None,
    batch: int = 1,
    max_edge: int | None = None,
    propagation: bool = True,
    finer_steps: int | None = None,
    any_device: bool = False,
    runs: str | PathLike[str] | None = None,
    progress: Progress = False,
) -> Profile:
    """Record every prompt with every seed in all steps, and measure.

    Args:
        pipe: A flow-matching diffusers pipeline as it is: quantised, with adapters, compiled,
            offloaded, or of a class of one's own; or a ``Source``. It is left as it was found.
        prompts: Texts, at least one.
        seeds: Seeds of the initial noise, each used with every prompt.
        path: Write the profile there, and keep finished samples beside it: the same call goes on
            where it was interrupted. Without it nothing is kept.
        call: What the pipeline is called with beside prompt and seed, such as
            ``{"num_inference_steps": 50, "guidance_scale": 3.5}``; what is not given is its own
            default.
        shard: Which part of the samples to record, such as ``"2/8"``; ``merge_profiles`` joins
            the parts' profiles.
        batch: Samples a pipeline call: more use more memory, and may be faster.
        max_edge: Longest interval measured, in steps; all by default.
        propagation: Measure how errors propagate to the sample, with at most a quarter more work.
        finer_steps: Aim at a finer run of so many steps.
        any_device: Let devices of other kinds go on with it; the profile then notes ``any``.
        runs: A folder to keep the full runs of the first seed in, for ``refine``: one more latent
            than steps for each sample. What was measured before is not run again for it.
        progress: True for a bar on standard error, or a function of (samples done, in all).

    Raises:
        InputError: An argument is not valid, ``path`` belongs to another calibration, ``runs``
            cannot be written, or holds nothing of a calibration that is finished, or the pipeline
            refuses the call.
        UnsupportedPipelineError: It has no denoiser or no scheduler.
        UnsupportedSchedulerError: Its scheduler follows no flow, or adds fresh noise.
    """
    from meancache_plan.source.diffusers.live_pipeline import at_hand

    texts, numbers = check_samples(prompts, seeds)
    check_kind("shard", shard, (str, type(None)), "give a string, such as '2/8'")
    part = None if shard is None else Shard.parse(shard)
    how = Measuring(batch, max_edge, propagation, finer_steps)
    source = pipe if isinstance(pipe, Source) and call is None else at_hand(pipe, call)
    with output(path) as file, watched(progress) as watch:
        return measuring.calibrate(
            source,
            texts,
            numbers,
            file,
            how,
            shard=part,
            any_device=any_device,
            runs=None if runs is None else Path(runs),
            progress=watch("calibrating"),
        )
