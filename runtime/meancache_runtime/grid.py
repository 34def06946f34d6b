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


@dataclass(frozen=True, slots=True)
class Grid:
    """The sampler's noise levels: σ₀ … σ_T, or None for any grid of ``steps`` steps.

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
    pairs = list(pairwise(sigmas))
    if not (all(a > b for a, b in pairs) or all(a < b for a, b in pairs)):
        raise ScheduleError(f"{where}: must be strictly monotone")
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


def as_levels(sigmas: Any) -> tuple[float, ...]:
    """The entries of a list, tuple or array of one axis as floats.

    Raises:
        GridMismatchError: It is something else.
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
        GridMismatchError: σ is not strictly monotone, or somewhere farther off than the
            schedule's tolerance.
    """
    if len(sigmas) - 1 != grid.steps:
        raise StepCountError(
            f"this run has {len(sigmas) - 1} steps, but the schedule was made for {grid.steps}: "
            f"take {grid.steps} steps (num_inference_steps={grid.steps}), or compile a schedule "
            f"for {len(sigmas) - 1}"
        )
    check_monotone(sigmas)
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


def check_monotone(sigmas: Sequence[float]) -> None:
    """Refuse noise levels that neither strictly rise nor strictly fall.

    Raises:
        GridMismatchError: The noise levels are not strictly monotone.
    """
    pairs = list(pairwise(sigmas))
    if not (all(a > b for a, b in pairs) or all(a < b for a, b in pairs)):
        raise GridMismatchError(
            "this run's noise levels are not strictly monotone: pass sigmas that are, or leave "
            "sigmas out"
        )
