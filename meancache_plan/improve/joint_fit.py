"""Joint fit: how the final sample of a replay answers to every gain of its plan.

The closed-loop fit brings each interval nearest to the full run's z_s; what counts is where
the last one ends. A gain moves the sample along its own term when its interval ends, and what
becomes of that is found by forward differences, no backward pass. Copies of the sample that are
moved so lie nearly in a few directions, as its velocities do: a refresh is asked for each of these
alone, and what a copy has in none of them is taken to leave its velocity as it is.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from meancache_plan.core.predictors import ADAMS, Terms
from meancache_plan.core.reweighted import MAX_GAIN, Equations, solve
from meancache_plan.source.protocols import Ensemble
from meancache_runtime.binding import LinearForm, combine

NUDGE = 0.01
"""How far copies are moved, relative to the sample's own size."""

RANK = 8
"""Directions in which velocities are asked at a knot, at most."""

Gains = Sequence[tuple[float, ...]]
"""Of each interval, one gain per term."""


def refreshes(gains: Gains, rank: int = RANK) -> int:
    """How many :func:`responses` takes a sample: its replay, and at each knot the directions."""
    return sum(1 + min(rank, sum(map(len, gains[:n]))) for n in range(len(gains)))


def responses(
    ensemble: Ensemble,
    row: int,
    knots: Sequence[int],
    gains: Gains,
    *,
    displaced: bool = False,
    terms: Terms = ADAMS,
    rank: int = RANK,
) -> NDArray[np.float64]:
    """Inner products of what a sample's final latents gain by each gain, and of what they miss.

    It holds about seven latents for each of the plan's gains, of this one sample.

    Args:
        ensemble: The samples.
        row: The one.
        knots: The plan's.
        gains: The plan's, p in all.
        displaced: Whether plans aim at the flow: see :func:`meancache_runtime.binding.adams`.
        terms: What the gains scale.
        rank: Directions that velocities are asked in, at most.

    Returns:
        float64 [p + 1, p + 1]: ∂z_T/∂gain of each, interval by interval, and last the full run's
        z_T less the replay's.
    """
    sigmas, latents = ensemble.sigmas, ensemble.full([row], 0)
    nudge = NUDGE * float(latents.norm())
    copies, fresh, kept = Copies(latents), dict[int, Tensor](), max(map(len, gains))
    ends = (*knots[1:], len(sigmas) - 1)
    for n, (knot, end, own) in enumerate(zip(knots, ends, gains, strict=True)):
        directions, shares = copies.directions(rank)
        states = torch.cat([latents, latents + (nudge * directions).to(latents)])
        found = ensemble.velocity([row] * len(states), knot, states).to(latents)
        fresh = _latest(fresh | {knot: found[:1]}, kept)
        h = sigmas[end] - sigmas[knot]
        forms = terms.forms(sigmas, knots[: n + 1], end, len(own), displaced)
        step = combine([(h * gain, form) for gain, form in zip(own, forms, strict=True)])
        copies.advance(knot, combined(shares / nudge, found[1:] - found[:1]), step, kept)
        for form in forms:
            copies.add(h * sum_of(form, fresh), nudge)
        latents = latents + sum_of(step, fresh)
    missed = ensemble.full([row], len(sigmas) - 1) - latents
    parts = torch.cat([copies.responses(), missed.flatten(1).double()])
    return (parts @ parts.T).cpu().numpy()


def step(equations: Equations, gains: Gains, damping: float) -> list[tuple[float, ...]]:
    """The gains that a step of damped Gauss–Newton leads to, at most ±MAX_GAIN.

    Args:
        equations: Of the samples' responses to these gains.
        gains: Where it starts, and what it is shrunk towards.
        damping: Ridge, relative to each gain's own response, > 0.
    """
    start = np.concatenate(gains)
    found = np.clip(start + solve(equations, 0 * start, damping), -MAX_GAIN, MAX_GAIN)
    parts = np.split(found, np.cumsum([len(own) for own in gains])[:-1])
    return [tuple(part.tolist()) for part in parts]


class Copies:
    """Copies of a sample, each moved along a term when its interval ended.

    Attributes:
        offsets: Where they are, from the sample, [k, …].
    """

    def __init__(self, like: Tensor) -> None:
        self.offsets = like[:0]
        self._shares: list[float] = []
        self._changes: dict[int, Tensor] = {}

    def directions(self, rank: int) -> tuple[Tensor, Tensor]:
        """Orthonormal ones [r, …] that the copies lie in, nearly, and how far each does [k, r].

        They are the principal directions of the copies, all taken to be equally far away.
        """
        offsets = self.offsets.flatten(1)
        rounding = torch.finfo(offsets.dtype)
        units = offsets / offsets.norm(dim=1, keepdim=True).clamp_min(rounding.tiny)
        products = torch.nan_to_num(units @ units.T)
        values, vectors = torch.linalg.eigh(products)  # ascending
        values, vectors = values[-rank:], vectors[:, -rank:]
        known = values > len(offsets) * rounding.eps * values.sum()
        found = (vectors * torch.where(known, values.rsqrt(), 0)).T @ units
        return found.reshape(-1, *self.offsets.shape[1:]), offsets @ found.T

    def advance(self, knot: int, change: Tensor, step: LinearForm, kept: int) -> None:
        """Take an interval's step, at whose knot their velocities differ by ``change`` [k, …]."""
        self._changes = _latest(self._changes | {knot: change}, kept)
        for each, weight in step.items():
            known = self._changes[each]  # of those that there were
            self.offsets[: len(known)] += weight * known

    def add(self, term: Tensor, size: float) -> None:
        """Another one, moved so far along this term [1, …]; not at all if it vanishes."""
        share = size / (float(term.norm()) or size)
        self._shares.append(share)
        self.offsets = torch.cat([self.offsets, share * term])

    def responses(self) -> Tensor:
        """What a whole term makes of the sample, float64 [k, N]; no step comes after this."""
        self._changes = {}  # thrice as many latents as the copies
        shares = torch.tensor(self._shares, dtype=torch.float64, device=self.offsets.device)
        return self.offsets.flatten(1).double() / shares[:, None]


def _latest(fresh: dict[int, Tensor], count: int) -> dict[int, Tensor]:
    """Those of the last so many knots."""
    return {knot: fresh[knot] for knot in sorted(fresh)[-count:]}


def combined(shares: Tensor, changes: Tensor) -> Tensor:
    """Of each copy what its shares [k, r] of all directions' changes [r, …] come to, [k, …]."""
    return (shares.to(changes) @ changes.flatten(1)).reshape(-1, *changes.shape[1:])


def sum_of(form: LinearForm, fresh: dict[int, Tensor]) -> Tensor:
    """Σ weight·velocity."""
    total = torch.zeros_like(next(iter(fresh.values())))
    for knot, weight in form.items():
        total += weight * fresh[knot]
    return total
