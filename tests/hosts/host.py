"""One host, as the conformance test wants it: what owns a sampling loop and can follow a plan."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from meancache_runtime.schedule import Schedule

Latents = np.ndarray[Any, np.dtype[np.float64]]
"""Two samples, one after another, of 256 numbers each: whatever shape a host gives them."""

SIZE = 512


def field(z: Any, sigma: Any) -> Any:
    """The velocity field of every host, by ``+`` and ``*`` alone: curved, also along its paths."""
    return z * (sigma * 0.8 + -0.3) + z * z * 0.2 + (sigma * -0.5 + 0.1)


class Model:
    """Stands for a host's model: gives the field's velocity, and counts its calls.

    Attributes:
        calls: How often it ran.
        breaks_at: The noise level at which its velocity is NaN; None for nowhere.
    """

    def __init__(self) -> None:
        self.calls = 0
        self.breaks_at: float | None = None

    def __call__(self, z: Any, sigma: float) -> Any:
        """The velocity of ``z``, an array of any library and shape, at σ."""
        self.calls += 1
        broken = self.breaks_at is not None and math.isclose(sigma, self.breaks_at, rel_tol=1e-3)
        return field(z, sigma) * (math.nan if broken else 1.0)


Run = Callable[[Latents, Sequence[float]], Latents]
"""noise, σ₀ … σ_T → latents at σ_T; it may be called again and again, and after it failed."""


@dataclass(frozen=True)
class Host:
    """A way to follow a plan.

    Attributes:
        name: As a user knows it.
        ran: What the test runs, for the table.
        build: A schedule, a budget, the model to call and the name of a dtype → a run.
        packages: Distributions whose versions the table shows.
        dtypes: Of the latents: names, as NumPy has them, and ``"bfloat16"``.
        branches: Calls of the model a refresh: 2 with guidance by two calls.
        own_levels: Whether it makes the noise levels itself, all of which differ.
        cached: As ``build``, with another cache at work in the model; None where there is none.
        silent: Why a NaN is not refused but goes on into the latents, for the table; empty where it
            is refused.
    """

    name: str
    ran: str
    build: Callable[[Schedule, int, Model, str], Run]
    packages: tuple[str, ...]
    dtypes: tuple[str, ...] = ("float32",)
    branches: int = 1
    own_levels: bool = False
    cached: Callable[[Schedule, int, Model, str], Run] | None = None
    silent: str = ""
