"""Trajectories: what a full run of a flow-matching sampler looks like."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor

from meancache_plan.core.grid import parted
from meancache_plan.errors import InputError, check_kind

Velocity = Callable[[Tensor, float], Tensor]
"""``velocity(latents, sigma) -> velocity``, of the same shape as ``latents``."""


@dataclass(frozen=True, slots=True)
class Trajectory:
    """One sample's full run.

    Attributes:
        sigmas: Noise levels σ₀ … σ_T.
        latents: z₀ … z_T, shape [T + 1, …], in the pipeline's own dtype and device.
        velocities: Guided velocities v₀ … v_{T−1}, shape [T, …].
        displaced: Whether the steps are other than Euler's: the latents say where they led.
        replaces: Class of the sampler that took them, which a plan's steps are to replace; None
            where that takes Euler steps itself.
        switches: Steps at which other denoisers ran than at the step before, ascending.
        calls: How often each sample went through the denoisers in each step, the last ones of no
            length included; None if that cannot be told.
        edited: Whether the pipeline changed latents between steps, as inpainting does to what it
            keeps; ``latents`` are those that each step began with.
        still_steps: How many steps of no length followed, which moved nothing.
    """

    sigmas: tuple[float, ...]
    latents: Tensor
    velocities: Tensor
    displaced: bool = False
    replaces: str | None = None
    switches: tuple[int, ...] = ()
    calls: tuple[int, ...] | None = None
    edited: bool = False
    still_steps: int = 0

    @property
    def columns(self) -> Tensor:
        """What a profile's Gram matrix is of, [T, …] or, if displaced, [2T, …].

        The velocities; then w_i = (z_{i+1} − z_i)/(σ_{i+1} − σ_i), what the steps moved with, in
        float32 or wider.
        """
        if not self.displaced:
            return self.velocities
        wide = torch.promote_types(self.latents.dtype, torch.float32)
        columns = torch.cat([self.velocities.to(wide), self.latents[1:].to(wide)])
        for i, (sigma, following) in enumerate(pairwise(self.sigmas)):
            columns[len(self.velocities) + i] -= self.latents[i].to(wide)
            columns[len(self.velocities) + i] /= following - sigma
        return columns

    def split(self) -> "list[Trajectory]":
        """The trajectories of a batch's n samples, each [T + 1, 1, …]."""
        rows = range(self.latents.shape[1])
        return [
            replace(
                self,
                latents=self.latents[:, row : row + 1],
                velocities=self.velocities[:, row : row + 1],
            )
            for row in rows
        ]

    def check_euler(self) -> None:
        """Refuse a trajectory whose steps are not ``z + (σ_next − σ)·v``.

        Of one that is displaced or edited the latents do not tell.

        Raises:
            InputError: Some step went elsewhere, further than its dtype's rounding explains.
        """
        if self.displaced or self.edited:
            return
        tolerance = 8 * torch.finfo(self.latents.dtype).eps
        wide = torch.promote_types(self.latents.dtype, torch.float32)
        for i, velocity in enumerate(self.velocities):
            here, there = self.latents[i].to(wide), self.latents[i + 1].to(wide)
            off = (here + (self.sigmas[i + 1] - self.sigmas[i]) * velocity.to(wide) - there).abs()
            if not bool((off <= tolerance * (1 + there.abs() + here.abs())).all()):
                raise InputError(
                    f"step {i} did not move by (σ_next − σ)·velocity: the scheduler does not take "
                    "plain Euler steps, or a callback edits the latents; calibrate without these"
                )


class Tape:
    """Collects a trajectory step by step, in memory for 2T + 1 latents and no more.

    Args:
        sigmas: Noise levels σ₀ … σ_T, the last of which may be repeated.
        noise: Latents at σ₀.
        replaces: See :class:`Trajectory`.
    """

    def __init__(self, sigmas: Sequence[float], noise: Tensor, replaces: str | None = None) -> None:
        self.sigmas, self._still_steps = parted(sigmas)
        self._replaces = replaces
        self._ran: list[frozenset[str]] = []
        self._calls: list[int | None] = []
        steps = len(self.sigmas) - 1
        self._latents = noise.new_empty((steps + 1, *noise.shape))
        self._velocities = noise.new_empty((steps, *noise.shape))
        self._latents[0] = noise
        self._step = 0
        self._edited = False

    @property
    def full(self) -> bool:
        """Whether all steps that move the sample are logged."""
        return self._step == len(self._velocities)

    @property
    def latents(self) -> Tensor:
        """The latents reached so far."""
        return self._latents[self._step]

    def begin(self, latents: Tensor) -> None:
        """Log the latents that a step begins with, which the pipeline may have changed."""
        if not torch.equal(self.latents, latents.to(self.latents)):
            self.correct(latents)
            self._edited = True

    def append(
        self,
        velocity: Tensor,
        latents: Tensor,
        ran: Iterable[str] = (),
        calls: int | None = None,
    ) -> None:
        """Log a step: its velocity, the latents that it reached, the denoisers that ran, how often.

        ``calls`` is how often each sample went through them, None if that is not known. A step of
        no length at the end has no velocity to log.
        """
        self._calls.append(calls)
        if self.full and len(self._calls) <= self._step + self._still_steps:
            self.correct(latents)
            return
        self._velocities[self._step] = velocity
        self._step += 1
        self._latents[self._step] = latents
        self._ran.append(frozenset(ran))

    def correct(self, latents: Tensor) -> None:
        """Log other latents at the noise level that was reached."""
        self._latents[self._step] = latents

    def trajectory(self) -> Trajectory:
        """The whole trajectory.

        Raises:
            InputError: The run ended before the last step.
        """
        if not self.full:
            raise InputError(
                f"the run took {self._step} of {len(self._velocities)} steps: "
                "calibrate on whole runs from pure noise"
            )
        return Trajectory(
            self.sigmas,
            self._latents,
            self._velocities,
            displaced=self._replaces is not None,
            replaces=self._replaces,
            switches=switches(self._ran),
            calls=known(self._calls),
            edited=self._edited,
            still_steps=self._still_steps,
        )


def switches(ran: Sequence[frozenset[str]]) -> tuple[int, ...]:
    """Return the steps at which other denoisers ran than at the step before.

    Example:
        >>> switches([frozenset("a"), frozenset("a"), frozenset("b")])
        (2,)
    """
    return tuple(i for i, (before, now) in enumerate(pairwise(ran), start=1) if now != before)


def known(calls: Sequence[int | None]) -> tuple[int, ...] | None:
    """These numbers if all are known, else None."""
    found = tuple(each for each in calls if each is not None)
    return found if len(found) == len(calls) else None


def joined(parts: Sequence[Trajectory]) -> Trajectory:
    """Return one trajectory of what several schedulers sampled together.

    Args:
        parts: Each [T + 1, n, …]; of one alone nothing changes.

    Returns:
        Latents [T + 1, n, N] and velocities [T, n, N], flattened and joined.

    Raises:
        InputError: Their noise levels differ.
    """
    first = parts[0]
    if len(parts) == 1:
        return first
    if any(part.sigmas != first.sigmas for part in parts):
        raise InputError(
            "the pipeline samples with copies of its scheduler that step through other noise "
            "levels: one plan cannot serve them all"
        )
    return replace(
        first,
        latents=torch.cat([part.latents.flatten(2) for part in parts], dim=2),
        velocities=torch.cat([part.velocities.flatten(2) for part in parts], dim=2),
        edited=any(part.edited for part in parts),
    )


def record_flow(velocity: Velocity, noise: Tensor, sigmas: Sequence[float]) -> Trajectory:
    """Run plain Euler steps along a velocity function.

    Args:
        velocity: ``velocity(latents, sigma)``.
        noise: Latents at σ₀, any shape, floating dtype.
        sigmas: Noise levels σ₀ … σ_T, the last of which may be repeated.

    Raises:
        InputError: ``velocity`` gives something else, or ``sigmas`` is not a grid.
    """
    tape = Tape(sigmas, noise)
    latents = noise
    for sigma, following in pairwise(tape.sigmas):
        step = _checked(velocity(latents, sigma), latents)
        latents = latents + (following - sigma) * step
        tape.append(step, latents)
    return tape.trajectory()


def _checked(velocity: object, latents: Tensor) -> Tensor:
    """What a velocity function gave, if it is a velocity of these latents."""
    check_kind("what velocity returned", velocity, Tensor, "return a tensor")
    assert isinstance(velocity, Tensor)
    if velocity.shape != latents.shape or not velocity.is_floating_point():
        raise InputError(
            f"velocity returned {velocity.dtype} {list(velocity.shape)}: use a floating dtype, and "
            f"the latents' shape {list(latents.shape)}"
        )
    return velocity
