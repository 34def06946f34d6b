"""A finer run, seen on the grid that plans are replayed on."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from meancache_plan.core.grid import check_finer_steps, parted
from meancache_plan.core.interpolation import latent_weights, velocity_weights
from meancache_plan.core.trajectory import Trajectory, Velocity, record_flow
from meancache_plan.errors import InputError

APART = 1e-3
"""How far the ends of the two grids may be from each other."""


def on_grid(
    fine: Trajectory,
    sigmas: Sequence[float],
    switches: Sequence[int] = (),
    calls: tuple[int, ...] | None = None,
) -> Trajectory:
    """Return a finer run's latents and velocities at other noise levels.

    They begin and end as the finer run does; between, they are interpolated in σ.

    Args:
        fine: The finer run.
        sigmas: The replayed grid, T + 1 noise levels, fewer than the finer run's; the last may be
            repeated.
        switches: Steps of that grid at which the denoiser changes.
        calls: How often a sample goes through it in each of them.

    Returns:
        A displaced trajectory on that grid: latents in float32 or wider.

    Raises:
        InputError: The grid is no coarser than the run, or its ends are more than 1e-3 from the
            run's.
    """
    grid, still_steps = parted(sigmas)
    if fine.edited:
        raise InputError(
            "the pipeline changes latents between steps, as inpainting does, so a finer run "
            "cannot tell where each replayed step would start: calibrate without a finer run"
        )
    check_finer(fine.sigmas, grid)
    inside = (fine.sigmas[0], *grid[1:-1], fine.sigmas[-1])
    at = latent_weights(fine.sigmas, inside)
    latents = _combined([(at.latents, fine.latents), (at.velocities, fine.velocities)])
    velocities = _combined([(velocity_weights(fine.sigmas, inside), fine.velocities)])
    return Trajectory(
        grid,
        latents,
        velocities.to(fine.velocities.dtype),
        displaced=True,
        replaces=fine.replaces,
        switches=tuple(switches),
        calls=calls,
        still_steps=still_steps,
    )


def check_finer(finer: Sequence[float], sigmas: Sequence[float]) -> None:
    """Refuse a finer run's grid unless it is finer than the replayed one and has the same ends.

    Raises:
        InputError: ``finer`` has no more steps than ``sigmas``, too many, or other ends.
    """
    check_finer_steps(len(finer) - 1, len(sigmas) - 1)
    for i in (0, -1):
        if abs(sigmas[i] - finer[i]) > APART:
            raise InputError(
                f"the finer run's noise levels go from {finer[0]:.4f} to {finer[-1]:.4f}, the "
                f"replayed run's from {sigmas[0]:.4f} to {sigmas[-1]:.4f}: with this sampler the "
                "ends depend on the number of steps; calibrate without a finer run"
            )


def record_finer(
    velocity: Velocity, noise: Tensor, sigmas: Sequence[float], finer: Sequence[float]
) -> Trajectory:
    """Run Euler steps on a finer grid along a velocity function, and see them on another.

    Args:
        velocity: ``velocity(latents, sigma)``.
        noise: Latents at σ₀, any shape, floating dtype.
        sigmas: The replayed grid.
        finer: The finer one.

    Raises:
        InputError: As :func:`on_grid`.
    """
    return on_grid(record_flow(velocity, noise, finer), sigmas)


def _combined(parts: Sequence[tuple[NDArray[np.float64], Tensor]]) -> Tensor:
    """Σ weights·vectors, in float32 or wider: few weights of a row are not 0."""
    rows, like = len(parts[0][0]), parts[0][1]
    wide = torch.promote_types(like.dtype, torch.float32)
    total = like.new_zeros((rows, *like.shape[1:]), dtype=wide)
    for weights, vectors in parts:
        for row, column in np.argwhere(weights).tolist():
            total[row] += weights[row, column] * vectors[column].to(wide)
    return total
