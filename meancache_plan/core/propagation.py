"""How an error made at a step has grown, or shrunk, when it reaches the sample.

A sample's own typical interval error is put into its trajectory at a few steps, and the full steps
are run from there to the end: the propagation A(s) = ‖z_T′ − z_T‖ / ‖e_s‖. Latents in half
precision round at every step, which shows as a floor of about 0.05 under A.

Where the full run's steps are not Euler's (see :mod:`meancache_plan.core.deviation`), no run can
take them up in the middle. Replay takes Euler steps, so both runs do, with and without the error.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from meancache_plan.core.columns import displacement_columns, single_columns
from meancache_plan.errors import InputError
from meancache_runtime.binding import LinearForm, adams, average, combine

ALLOWANCE = 4
"""All measurements together take at most 1/4 of the steps of the full runs."""

DISTANCES = (0.02, 0.04, 0.08, 0.14, 0.22, 0.36, 0.6, 0.9)
"""Where to measure: T − s as parts of T. Dense near the end, where A bends and a run is short."""

SMALLEST = 1e-9
"""What an propagation is at least: an error may vanish, its logarithm must not."""

Finish = Callable[[int, Tensor], Tensor]
"""(step s, latents at σ_s) → the latents that Euler steps lead to, at σ_T; same shape and dtype."""


class Choice(NamedTuple):
    """What is measured of a calibration: at which steps s, and of which samples; both ascending."""

    positions: tuple[int, ...]
    samples: tuple[int, ...]


def choose(steps: int, samples: int, runs: int = 1) -> Choice:
    """Choose where to measure, for at most T·S/4 steps in all.

    Late positions come first, as they cost least; then as many samples as can be had, one from
    each of so many stretches of all samples, and not the same place in each stretch, so that they
    are spread over prompts, seeds and shards. Nothing is measured if no position can be afforded.

    Args:
        steps: T ≥ 1.
        samples: S ≥ 1, of the whole calibration; they are numbered prompt by prompt.
        runs: How many runs a measurement takes: 2 if steps are not Euler's.

    Example:
        >>> choose(50, 1)
        Choice(positions=(46, 48, 49), samples=(0,))
        >>> choose(50, 20)
        Choice(positions=(5, 20, 32, 39, 43, 46, 48, 49), samples=(0, 11))
    """
    allowed, cost = steps * samples // ALLOWANCE, 0
    positions: list[int] = []
    for distance in sorted({max(1, round(part * steps)) for part in DISTANCES}):
        if distance >= steps or cost + runs * distance > allowed:
            break
        cost += runs * distance
        positions.append(steps - distance)
    if not positions:
        return Choice((), ())
    count = min(samples, allowed // cost)
    stretch = samples // count
    numbers = tuple(j * samples // count + j % stretch for j in range(count))
    return Choice(tuple(sorted(positions)), numbers)


def propagation(
    sigmas: Sequence[float],
    latents: Tensor,
    columns: Tensor,
    positions: Sequence[int],
    finish: Finish,
) -> NDArray[np.float64]:
    """Return A(s) at each position, float64 [P], positive, dimensionless.

    Args:
        sigmas: The grid, T + 1 noise levels.
        latents: z₀ … z_T of a full run, [T + 1, …], any floating dtype and device.
        columns: v₀ … v_{T−1}, [T, …]; or [2T, …], these and what the steps moved with instead.
        positions: Steps s, 1 … T − 1.
        finish: Runs Euler steps s … T − 1.

    Raises:
        InputError: A run from slightly other latents is not finite.
    """
    wide = torch.promote_types(latents.dtype, torch.float32)
    found: list[float] = []
    for step in positions:
        here = latents[step].to(wide)
        moved = (here + injected(sigmas, latents, columns, step)).to(latents.dtype)
        unmoved = latents[-1] if len(columns) < len(latents) else finish(step, latents[step])
        there = finish(step, moved).to(wide) - unmoved.to(wide)
        found.append(float(there.norm() / (moved.to(wide) - here).norm()))
    if not np.isfinite(found).all():
        raise InputError("a run is not finite: the model overflows; try another dtype")
    return np.maximum(np.array(found, dtype=np.float64), SMALLEST)


def injected(sigmas: Sequence[float], latents: Tensor, columns: Tensor, step: int) -> Tensor:
    """Return e_s, what is added to z_s: the error of one typical interval that ends at s.

    e_s = (σ_s − σ_t)·(û − u(t→s)) for an interval of T/10 steps, at least 2 but none before step
    0, where û is grid Adams–Bashforth over two knots at that distance, or ``hold`` at t = 0. It
    is scaled up to √ε of the latents' norm if smaller (ε of their dtype), to stand out from
    rounding; where there is no error but rounding (8 ε), it takes the direction of v_t.

    Returns:
        Shape of one latent, in float32 or the latents' own dtype if wider.
    """
    wide = torch.promote_types(latents.dtype, torch.float32)
    epsilon = torch.finfo(latents.dtype).eps
    form, start = interval_error(sigmas, step, displacement_columns(len(sigmas) - 1, len(columns)))
    error = torch.zeros_like(latents[step], dtype=wide)
    for i, weight in form.items():
        error += weight * columns[i].to(wide)
    one = torch.ones_like(error)
    norm = float(latents[step].to(wide).norm() or one.norm())
    if error.norm() <= 8 * epsilon * norm:
        others = (columns[start].to(wide), latents[step].to(wide), one)
        error = next(other for other in others if other.norm() > 0)
        error = error * (epsilon**0.5 * norm / error.norm())
    return error * max(1.0, epsilon**0.5 * norm / float(error.norm()))


def interval_error(
    sigmas: Sequence[float], step: int, displacements: range | None = None
) -> tuple[LinearForm, int]:
    """Return (σ_s − σ_t)·(û − u(t→s)) as weights of columns, and t; see ``injected``.

    ``displacements`` are the columns of what the steps moved with, by default the velocities' own.
    """
    steps = len(sigmas) - 1
    length = max(2, round(steps / 10))
    start = max(0, step - length)
    if start == 0:
        predicted: LinearForm = {0: 1.0}
    else:
        predicted = adams(sigmas, (max(0, start - length), start), step, (1.0, 1.0))
    h = sigmas[step] - sigmas[start]
    moved = single_columns(displacements or range(steps))
    return combine([(h, predicted), (-h, average(sigmas, start, step, moved))]), start


def interpolated(
    sigmas: Sequence[float], at: NDArray[np.float64], logarithms: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return A at every noise level of a grid, float64 [T + 1], from log A at a few.

    log A is linear in σ between the levels ``at`` (in the grid's order), constant before the
    first, and 0 at σ_T.
    """
    falls = -1.0 if sigmas[0] > sigmas[-1] else 1.0
    grid, known = falls * np.array(sigmas), falls * at
    before = known < grid[-1]
    levels = np.append(known[before], grid[-1])
    return np.exp(np.interp(grid, levels, np.append(logarithms[before], 0.0)))
