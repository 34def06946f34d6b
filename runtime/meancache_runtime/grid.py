"""The noise levels that a schedule is for, and their strict reader."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from .errors import GridMismatchError, ScheduleError, StepCountError
from .strict_json import (
    optional,
    read_integer,
    read_list,
    read_number,
    read_object,
    read_text,
    shorten,
)

MAX_STEPS = 1000

ROUNDING = 1e-6
"""How far a run's noise levels may be beyond 0 … 1 by rounding alone."""


@dataclass(frozen=True, slots=True)
class Grid:
    """The sampler's noise levels: σ₀ … σ_T, or None for any grid of ``steps`` steps.

    The last steps may have no length: see :func:`moving`.

    ``replaces`` is the class of the sampler whose steps the plan takes in its place; None where
    the sampler takes plain Euler steps itself. ``finer_steps`` is how many steps the run had
    that the plans aim at; None for as many as the grid's own. ``switches`` are the steps at which
    the pipeline calls other denoisers than at the step before.
    """

    steps: int
    sigmas: tuple[float, ...] | None
    tolerance: float
    replaces: str | None = None
    finer_steps: int | None = None
    switches: tuple[int, ...] = ()

    @property
    def displaced(self) -> bool:
        """Whether plans aim at the flow itself, not at the sums of Euler steps on the grid."""
        return self.replaces is not None or self.finer_steps is not None

    @property
    def moving_steps(self) -> int:
        """How many steps move the sample, as far as noise levels are stated."""
        return self.steps if self.sigmas is None else len(moving(self.sigmas)) - 1


def read_grid(value: Any) -> Grid:
    """The value of a schedule's ``grid``. Raises ScheduleError."""
    keys = ("steps", "sigmas", "tolerance", "replaces", "finer_steps", "switches")
    got = read_object(value, "grid", keys)
    steps = read_integer(got["steps"], "grid.steps", 1, MAX_STEPS)
    return Grid(
        steps,
        optional(got["sigmas"], "grid.sigmas", lambda v, w: _sigmas(v, w, steps)),
        read_number(got["tolerance"], "grid.tolerance", 0.0, 1.0),
        optional(got["replaces"], "grid.replaces", read_text),
        optional(
            got["finer_steps"],
            "grid.finer_steps",
            lambda v, w: read_integer(v, w, steps + 1, MAX_STEPS),
        ),
        _switches(got["switches"], "grid.switches", steps),
    )


def _sigmas(value: Any, where: str, steps: int) -> tuple[float, ...]:
    entries = read_list(value, where, MAX_STEPS + 1)
    sigmas = tuple(read_number(x, f"{where}[{i}]", 0.0, 1.0) for i, x in enumerate(entries))
    if len(sigmas) != steps + 1:
        raise ScheduleError(f"{where}: {len(sigmas)} values; {steps} steps need {steps + 1}")
    if _turn(sigmas) is not None:
        raise ScheduleError(f"{where}: must be strictly monotone up to the last level")
    return sigmas


def _switches(value: Any, where: str, steps: int) -> tuple[int, ...]:
    entries = read_list(value, where, MAX_STEPS)
    switches = tuple(read_integer(k, f"{where}[{i}]", 1, steps - 1) for i, k in enumerate(entries))
    if any(a >= b for a, b in pairwise(switches)):
        raise ScheduleError(f"{where}: must be strictly ascending")
    return switches


def check_switches(where: str, knots: Sequence[int], switches: Sequence[int]) -> None:
    """Refuse knots without one where the pipeline calls another denoiser: ScheduleError."""
    missing = sorted(set(switches) - set(knots))
    if missing:
        raise ScheduleError(
            f"{where}: no knot at step {missing[0]}, where the pipeline switches denoisers"
        )


def moving(sigmas: Sequence[float]) -> tuple[float, ...]:
    """The noise levels of the steps that move the sample.

    A grid may end with steps of no length, from σ_T to σ_T, which move nothing: diffusers ends that
    of Z-Image so before 0.39.

    Example:
        >>> moving((1.0, 0.5, 0.0, 0.0))
        (1.0, 0.5, 0.0)
    """
    end = len(sigmas)
    while end > 1 and sigmas[end - 2] == sigmas[-1]:
        end -= 1
    return tuple(sigmas[:end])


def _turn(sigmas: Sequence[float]) -> int | None:
    """The first step that does not go from σ₀ towards σ_T, which none may pass; None if all do."""
    levels = moving(sigmas)
    falls = sigmas[0] > sigmas[-1]
    pairs = enumerate(pairwise(levels if len(levels) > 1 else sigmas))
    return next((i for i, (a, b) in pairs if not (a > b if falls else a < b)), None)


def as_levels(sigmas: Any) -> tuple[float, ...]:
    """The entries of a list, tuple or array of one axis as floats.

    Raises:
        GridMismatchError: What is given is no such list of numbers.
    """
    try:
        if isinstance(sigmas, str | bytes | dict):
            raise TypeError(f"a {type(sigmas).__name__}")
        return tuple(float(sigma) for sigma in sigmas)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise GridMismatchError(
            f"sigmas are not noise levels ({shorten(str(error))}): give a list of T + 1 numbers"
        ) from error


def check_grid(grid: Grid, sigmas: Sequence[float]) -> None:
    """Refuse a run on another grid than the schedule's.

    Raises:
        StepCountError: Another number of steps.
        GridMismatchError: σ is no grid, or somewhere farther off than the schedule's tolerance.
    """
    if len(sigmas) - 1 != grid.steps:
        raise StepCountError(
            f"this run has {len(sigmas) - 1} steps, but the schedule was made for {grid.steps}: "
            f"take {grid.steps} steps (num_inference_steps={grid.steps}), or compile a schedule "
            f"for {len(sigmas) - 1}"
        )
    check_levels(sigmas)
    if grid.sigmas is None:
        return
    there = enumerate(zip(sigmas, grid.sigmas, strict=True))
    off, step = max((abs(a - b), i) for i, (a, b) in there)
    if off > grid.tolerance:
        raise GridMismatchError(
            f"this run's σ at step {step} is {sigmas[step]:.4f}, but the schedule's is "
            f"{grid.sigmas[step]:.4f}: they differ by {off:.4f}, and {grid.tolerance:.4f} is "
            "allowed; use the size and the scheduler settings (shift) that the schedule was made "
            "for, or calibrate at these"
        )


def check_levels(sigmas: Sequence[float]) -> None:
    """Refuse noise levels that are no grid.

    Raises:
        GridMismatchError: They neither strictly rise nor strictly fall up to the last one, or do
            not lie in 0 to 1.
    """
    turn = _turn(sigmas)
    if turn is not None:
        raise GridMismatchError(
            f"this run's noise levels are not strictly monotone: step {turn} goes from "
            f"{sigmas[turn]:.4f} to {sigmas[turn + 1]:.4f}, and only the last level may be "
            "repeated: pass other sigmas, or leave sigmas out"
        )
    beyond = [sigma for sigma in sigmas if not -ROUNDING <= sigma <= 1 + ROUNDING]
    if beyond:
        raise GridMismatchError(
            f"this run's noise levels are no flow's: {beyond[0]:g} is among them, and those lie in "
            "0 to 1: run this pipeline without a schedule"
        )
