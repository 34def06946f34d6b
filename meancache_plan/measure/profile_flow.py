"""Profile a velocity function, without a pipeline."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from meancache_plan.core.finer_run import check_finer, record_finer
from meancache_plan.core.grid import parted
from meancache_plan.core.psnr import moments
from meancache_plan.core.trajectory import Velocity, record_flow
from meancache_plan.errors import InputError, check_kind
from meancache_plan.measure.partial_profile import Job, assemble, propagated
from meancache_plan.measure.profile import Profile, ProfileSettings, SampleMeasurement, measure
from meancache_plan.measure.profile_settings import MAX_WINDOW


def profile_flow(
    velocity: Velocity,
    noise: Tensor,
    sigmas: Sequence[float],
    *,
    propagation: bool = True,
    finer: Sequence[float] | None = None,
) -> Profile:
    """Profile a velocity function: the same measurements without a pipeline.

    Args:
        velocity: ``velocity(latents, sigma)``; gets latents of shape [1, …].
        noise: Initial latents, shape [samples, …], floating dtype.
        sigmas: Noise levels σ₀ … σ_T, length T + 1; the last may be repeated.
        propagation: Measure how errors propagate, with at most a quarter more calls.
        finer: Finer noise levels with the same ends: make plans reproduce a run on these.

    Raises:
        InputError: ``noise`` has no sample or is of another dtype, ``sigmas`` is not a grid,
            ``finer`` is coarser or ends elsewhere, or ``velocity`` gives something else.
    """
    if not callable(velocity):
        check_kind("velocity", velocity, (), "give a function of (latents, sigma)")
    check_kind("noise", noise, Tensor, "give a tensor of shape [samples, …]")
    if not noise.is_floating_point():
        raise InputError(f"noise is {noise.dtype}: give a floating dtype")
    if noise.ndim < 1 or len(noise) == 0:
        raise InputError("noise holds no sample: give shape [samples, …]")
    if finer is not None:
        check_finer(finer, sigmas)
    settings = _flow_settings(noise, sigmas, propagation, finer)
    grid = settings.sigmas
    jobs = [Job(number=i, prompt_index=i, prompt="", seed=i) for i in range(len(noise))]
    measured: list[SampleMeasurement] = []
    scales: list[NDArray[np.float64]] = []
    propagations: list[NDArray[np.float64] | None] = []

    def finish(step: int, latents: Tensor) -> Tensor:
        return record_flow(velocity, latents, grid[step:]).latents[-1]

    for job, sample in zip(jobs, noise, strict=True):
        if finer is None:
            trajectory = record_flow(velocity, sample[None], grid)
        else:
            trajectory = record_finer(velocity, sample[None], grid, finer)
        measured.append(measure(trajectory.columns, grid, settings.index))
        scales.append(np.array(moments(trajectory.latents[-1])))
        propagations.append(propagated(settings, job, trajectory, finish))
    return assemble(settings, jobs, measured, [0.0] * len(jobs), scales, propagations)


def _flow_settings(
    noise: Tensor,
    sigmas: Sequence[float],
    propagation: bool,
    finer: Sequence[float] | None,
) -> ProfileSettings:
    grid, still_steps = parted(sigmas)
    return ProfileSettings(
        sigmas=grid,
        still_steps=still_steps,
        dtype=str(noise.dtype).removeprefix("torch."),
        latent_shape=(1, *noise.shape[1:]),
        max_edge=len(grid) - 1,
        max_window=MAX_WINDOW,
        samples_total=len(noise),
        propagation=propagation,
        displaced=finer is not None,
        finer_steps=None if finer is None else len(finer) - 1,
        versions={"torch": torch.__version__},
    )
