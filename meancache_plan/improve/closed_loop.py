"""Closed-loop fit: gains for the states that replay really visits.

Replay leaves the full runs. Interval by interval, all samples are advanced together with
the gains fitted so far; the next gains are those with which they come closest, in least squares,
to the full runs' z_s, shrunk towards the plan's own. It takes B denoiser refreshes a
sample, as a replay does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from meancache_plan.core.predictors import ADAMS, PREDICTORS, Terms
from meancache_plan.core.reweighted import MAX_GAIN, Equations, solve
from meancache_plan.improve.dealt_samples import final_errors
from meancache_plan.source.protocols import Ensemble
from meancache_runtime.binding import LinearForm
from meancache_runtime.schedule import Plan


class State(NamedTuple):
    """Where samples are at a knot, and what brought them there.

    Attributes:
        latents: [n, …].
        fresh: Velocities at the last knots before, and here once it is asked for.
        gains: Of the intervals so far.
    """

    latents: Tensor
    fresh: dict[int, Tensor]
    gains: tuple[tuple[float, ...], ...]


class Visited(NamedTuple):
    """What a fit went through at each knot; others may share the first ones."""

    knots: tuple[int, ...]
    states: tuple[State, ...]


class Fitted(NamedTuple):
    """Gains of each interval, and the final mean squared error of each sample fitted on [n].

    With what it went through, if that was to be kept.
    """

    gains: list[tuple[float, ...]]
    errors: NDArray[np.float64]
    visited: Visited | None = None


def terms_of(plan: Plan) -> Terms | None:
    """What all gains of a plan scale, ``hold`` being every rule's first term; None if no rule's."""
    for rule in PREDICTORS.values():
        if rule.terms is not None and _gains(plan, rule.terms) is not None:
            return rule.terms
    return None


def prior_gains(plan: Plan) -> list[tuple[float, ...]] | None:
    """The plan's gains, with ``hold`` as order 1; None if its predictors have none in common."""
    terms = terms_of(plan)
    return None if terms is None else _gains(plan, terms)


def plain_gains(plan: Plan) -> list[tuple[float, ...]]:
    """Those of the plain rule at the plan's knots, of order 2."""
    return [(1.0,) * min(n + 1, 2) for n in range(len(plan.knots))]


def plain(plan: Plan, knots: tuple[int, ...]) -> Plan:
    """The plan's rule at these knots, as many, with plain gains."""
    return with_gains(replace(plan, knots=knots, innovation=None), plain_gains(plan))


def with_gains(plan: Plan, gains: Sequence[tuple[float, ...]]) -> Plan:
    """The plan's knots with these gains."""
    scaled = (terms_of(plan) or ADAMS).scaled
    return replace(plan, intervals=tuple(map(scaled, gains)))


def _gains(plan: Plan, terms: Terms) -> list[tuple[float, ...]] | None:
    found: list[tuple[float, ...]] = []
    for interval in plan.intervals:
        own = terms.of(interval)
        if own is None:
            return None
        found.append(own)
    return found


def alike(knots: Sequence[int], others: Sequence[int]) -> int:
    """Knots at the start that two plans have in common."""
    pairs = enumerate(zip(knots, others, strict=False))
    return next((n for n, (a, b) in pairs if a != b), min(len(knots), len(others)))


def fit(
    ensemble: Ensemble,
    rows: Sequence[int],
    knots: Sequence[int],
    prior: Sequence[tuple[float, ...]],
    *,
    order: int,
    shrinkage: float,
    displaced: bool = False,
    terms: Terms = ADAMS,
    known: Visited | None = None,
    keep: bool = False,
) -> Fitted:
    """Fit the gains of all intervals, in sequence.

    Samples are weighed by the inverse of their errors (:mod:`meancache_plan.core.reweighted`);
    those that are no longer finite do not count.

    Args:
        ensemble: The samples.
        rows: Those to fit on, n of them.
        knots: The plan's.
        prior: Gains to shrink towards, an interval; missing terms count as 0.
        order: Terms an interval, fewer where fewer knots are known. One of Euler's steps has one,
            which is exact but for what went wrong before.
        shrinkage: Ridge, relative to each term's own size, > 0.
        displaced: Whether plans aim at the flow: see :func:`meancache_runtime.binding.adams`.
        terms: What the gains scale.
        known: Of a fit of other knots, by the same arguments else: at knots that both begin with
            nothing is run again.
        keep: Whether to return what it went through: two latents for each sample and knot.
    """
    sigmas, ends = ensemble.sigmas, (*knots[1:], len(ensemble.sigmas) - 1)
    states = [] if known is None else [*known.states[: alike(knots, known.knots)]]
    if not states:
        states.append(State(ensemble.full(rows, 0), {}, ()))
    for n in range(len(states) - 1, len(knots)):
        start, end = knots[n], ends[n]
        latents, fresh, gains = states[-1]
        if start not in fresh:
            fresh[start] = ensemble.velocity(rows, start, latents)
        count = 1 if end - start == 1 and not displaced else min(order, terms.most, n + 1)
        forms = terms.forms(sigmas, knots[: n + 1], end, count, displaced)
        h = sigmas[end] - sigmas[start]
        target = ensemble.full(rows, end)
        padded = np.array([*prior[n], *[0.0] * count][:count])
        equations = _equations(forms, fresh, target - latents, h)
        found = np.clip(solve(equations, padded, shrinkage), -MAX_GAIN, MAX_GAIN)
        latents = latents + h * _combined(found, forms, fresh, latents)
        fresh = {knot: fresh[knot] for knot in sorted(fresh)[-order:]}
        following = State(latents, fresh, (*gains, tuple(found.tolist())))
        states = [*(states if keep else ()), following]
    *before, last = states
    errors = final_errors(ensemble, rows, last.latents)
    visited = Visited(tuple(knots), tuple(before)) if keep else None
    return Fitted([*last.gains], errors, visited)


def _equations(
    forms: Sequence[LinearForm], fresh: Mapping[int, Tensor], missing: Tensor, h: float
) -> Equations:
    """What is missing to z_s, of each sample, in parts h·term; latents may be large."""
    products = np.empty((len(missing), len(forms) + 1, len(forms) + 1))
    for row, each in enumerate(missing):
        parts = [h * _apply(form, fresh, row) for form in forms]
        rows = torch.stack([*parts, each.flatten().double()])
        products[row] = (rows @ rows.T).cpu().numpy()
    return Equations.of(products)


def _apply(form: LinearForm, fresh: Mapping[int, Tensor], row: int) -> Tensor:
    """A term of one sample, float64 [N]."""
    like = next(iter(fresh.values()))[row].flatten().double()
    total = torch.zeros_like(like)
    for knot, weight in form.items():
        total += weight * fresh[knot][row].flatten().double()
    return total


def _combined(
    gains: NDArray[np.float64],
    forms: Sequence[LinearForm],
    fresh: Mapping[int, Tensor],
    like: Tensor,
) -> Tensor:
    """û = Σ gain·term of all samples, in the latents' dtype."""
    moved = torch.empty_like(like)
    for row in range(len(like)):
        parts = torch.stack([_apply(form, fresh, row) for form in forms])
        moved[row] = (torch.as_tensor(gains).to(parts) @ parts).reshape(like[row].shape)
    return moved
