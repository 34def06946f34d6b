"""Trajectories: what a full-step run of a flow-matching sampler looks like."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from meancache_plan.errors import InputError
from meancache_plan.grid import check_sigmas

Velocity = Callable[[Tensor, float], Tensor]
"""``velocity(latents, sigma) -> velocity``, of the same shape as ``latents``."""


@dataclass(frozen=True, slots=True)
class Trajectory:
    """One sample's full-step run.

    Attributes:
        sigmas: Noise levels σ₀ … σ_T.
        latents: z₀ … z_T, shape [T + 1, …], in the pipeline's own dtype and device.
        velocities: Guided velocities v₀ … v_{T−1}, shape [T, …].
    """

    sigmas: tuple[float, ...]
    latents: Tensor
    velocities: Tensor

    def check_euler(self) -> None:
        """Refuse a trajectory whose steps are not ``z + (σ_next − σ)·v``.

        Raises:
            InputError: Some step went elsewhere, further than its dtype's rounding explains.
        """
        tolerance = 8 * torch.finfo(self.latents.dtype).eps
        wide = torch.promote_types(self.latents.dtype, torch.float32)
        for i, velocity in enumerate(self.velocities):
            here, there = self.latents[i].to(wide), self.latents[i + 1].to(wide)
            off = (here + (self.sigmas[i + 1] - self.sigmas[i]) * velocity.to(wide) - there).abs()
            if not bool((off <= tolerance * (1 + there.abs() + here.abs())).all()):
                raise InputError(
                    f"step {i} did not move by (σ_next − σ)·velocity: the scheduler takes no plain "
                    "Euler steps, or a callback edits the latents; calibrate without these"
                )


class Tape:
    """Collects a trajectory step by step, in memory for 2T + 1 latents and no more."""

    def __init__(self, sigmas: Sequence[float], noise: Tensor) -> None:
        self.sigmas = check_sigmas(sigmas)
        steps = len(self.sigmas) - 1
        self._latents = noise.new_empty((steps + 1, *noise.shape))
        self._velocities = noise.new_empty((steps, *noise.shape))
        self._latents[0] = noise
        self._step = 0

    def append(self, velocity: Tensor, latents: Tensor) -> None:
        """Log a step: the velocity that it took, and the latents that it reached."""
        self._velocities[self._step] = velocity
        self._step += 1
        self._latents[self._step] = latents

    def trajectory(self) -> Trajectory:
        """The whole trajectory.

        Raises:
            InputError: The run ended before the last step.
        """
        if self._step != len(self.sigmas) - 1:
            raise InputError(
                f"the run took {self._step} of {len(self.sigmas) - 1} steps: "
                "calibrate on whole runs from pure noise"
            )
        return Trajectory(self.sigmas, self._latents, self._velocities)


def record_flow(velocity: Velocity, noise: Tensor, sigmas: Sequence[float]) -> Trajectory:
    """Run plain Euler steps along a velocity function.

    Args:
        velocity: ``velocity(latents, sigma)``.
        noise: Latents at σ₀, any shape, floating dtype.
        sigmas: Noise levels σ₀ … σ_T.
    """
    tape = Tape(sigmas, noise)
    latents = noise
    for sigma, following in zip(tape.sigmas, tape.sigmas[1:], strict=False):
        step = velocity(latents, sigma)
        latents = latents + (following - sigma) * step
        tape.append(step, latents)
    return tape.trajectory()
