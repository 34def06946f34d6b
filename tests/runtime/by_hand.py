"""An independent replay: the specification's formulas, straight from velocities, in float64."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from numpy.polynomial import Polynomial
from torch import Tensor

from meancache_runtime.predictors import Adams, Hold, Jvp, Predictor, Released
from meancache_runtime.schedule import Grid, Plan, Schedule


def schedule(
    steps: int,
    knots: Sequence[int],
    predictors: Sequence[Predictor] | None = None,
    sigmas: Sequence[float] | None = None,
    tolerance: float = 0.0,
    **grid_fields: Any,
) -> Schedule:
    """A schedule with one plan whose budget is its number of knots; ``hold`` by default."""
    intervals = tuple(predictors or [Hold()] * len(knots))
    plan = Plan(len(knots), tuple(knots), intervals)
    levels = None if sigmas is None else tuple(sigmas)
    return Schedule(None, Grid(steps, levels, tolerance, **grid_fields), (plan,))


def shifted(steps: int, shift: float = 3.0) -> list[float]:
    """σ₀ … σ_T as FLUX has them: evenly spaced, then shifted."""
    raw = [1 - i / steps for i in range(steps + 1)]
    return [shift * x / (1 + (shift - 1) * x) for x in raw]


def answers(
    plan: Plan, sigmas: Sequence[float], fresh: Sequence[Tensor], displaced: bool = False
) -> list[Tensor]:
    """û of every step (length T), given the velocity at every knot.

    ``displaced``: the schedule's grid says that plans aim at the flow.
    """
    mean = integral_of_polynomial if displaced else mean_of_polynomial
    applied: list[Tensor] = []
    known: list[Tensor] = []
    for n, (start, predictor) in enumerate(zip(plan.knots, plan.intervals, strict=True)):
        end = (*plan.knots, len(sigmas) - 1)[n + 1]
        v = fresh[n].double()
        if isinstance(predictor, Jvp):
            slope = jvp(sigmas, start - predictor.window, start, applied, known)
            v_hat = v + (sigmas[end] - sigmas[start]) * slope
        elif isinstance(predictor, Adams):
            nodes = [(sigmas[k], fresh[i].double()) for i, k in enumerate(plan.knots[: n + 1])]
            v_hat = torch.zeros_like(v)
            lower = torch.zeros_like(v)
            for order, gain in enumerate(predictor.gains, start=1):
                term = mean(nodes[-order:], sigmas[start : end + 1])
                v_hat, lower = v_hat + gain * (term - lower), term
        else:
            v_hat = v
        applied.append(v_hat)
        known.append(v)
        for i in range(start + 1, end):
            if isinstance(predictor, Released):
                slope = jvp(sigmas, i - predictor.span, i, applied, known)
                v_hat = v_hat + (sigmas[i + 1] - sigmas[i]) * slope
            applied.append(v_hat)
            known.append(v_hat)
    return applied


def jvp(
    sigmas: Sequence[float],
    start: int,
    end: int,
    applied: Sequence[Tensor],
    known: Sequence[Tensor],
) -> Tensor:
    """(u(start→end) − w_start) / (σ_end − σ_start), u from the velocities that steps moved with."""
    moved = torch.zeros_like(known[start])
    for i in range(start, end):
        moved = moved + (sigmas[i + 1] - sigmas[i]) * applied[i]
    span = sigmas[end] - sigmas[start]
    return (moved / span - known[start]) / span


def released(
    velocity: Callable[[Tensor, float], Tensor],
    noise: Tensor,
    spans: Mapping[int, int],
    sigmas: Sequence[float],
) -> tuple[list[Tensor], list[Tensor]]:
    """The loop of MeanCache's released scripts: a log of latents z and one of velocities v.

    ``spans`` gives K for the interval of each fresh step. Returns T + 1 latents, T velocities.
    """
    z, v, span = [noise], [], 0
    for i, (sigma, following) in enumerate(pairwise(sigmas)):
        if i in spans:
            span = spans[i]
            v.append(velocity(z[i], sigma))
        else:
            i0 = i - span
            average = (z[i] - z[i0]) / (sigma - sigmas[i0])
            slope = (v[i0] - average) / (sigma - sigmas[i0])
            v.append(v[i - 1] - slope * (following - sigma))
        z.append(z[i] + (following - sigma) * v[i])
    return z, v


def mean_of_polynomial(nodes: Sequence[tuple[float, Tensor]], sigmas: Sequence[float]) -> Tensor:
    """Lagrange's polynomial through the nodes, averaged over the steps' starts."""
    total = torch.zeros_like(nodes[0][1])
    for sigma, following in pairwise(sigmas):
        for i, (node, value) in enumerate(nodes):
            weight = (following - sigma) / (sigmas[-1] - sigmas[0])
            for j, (other, _) in enumerate(nodes):
                if j != i:
                    weight *= (sigma - other) / (node - other)
            total = total + weight * value
    return total


def integral_of_polynomial(
    nodes: Sequence[tuple[float, Tensor]], sigmas: Sequence[float]
) -> Tensor:
    """Lagrange's polynomial through the nodes, averaged over all noise levels: exactly."""
    total = torch.zeros_like(nodes[0][1])
    for i, (node, value) in enumerate(nodes):
        others = [other for j, (other, _) in enumerate(nodes) if j != i]
        basis = Polynomial([1.0])
        for other in others:
            basis = basis * Polynomial([-other, 1.0]) / (node - other)
        whole = basis.integ()
        mean = (whole(sigmas[-1]) - whole(sigmas[0])) / (sigmas[-1] - sigmas[0])
        total = total + float(mean) * value
    return total


def integrate(
    velocity: Callable[[Tensor, float], Tensor],
    noise: Tensor,
    plan: Plan,
    sigmas: Sequence[float],
    displaced: bool = False,
) -> Tensor:
    """Euler steps with û, the velocity evaluated at knots only, on the states that this reaches."""
    latents, fresh = noise, []
    for step, (sigma, following) in enumerate(pairwise(sigmas)):
        if step in plan.knots:
            fresh.append(velocity(latents, sigma))
        past = Plan(len(fresh), plan.knots[: len(fresh)], plan.intervals[: len(fresh)])
        end = next((k for k in plan.knots if k > step), len(sigmas) - 1)
        latents = (
            latents + (following - sigma) * answers(past, sigmas[: end + 1], fresh, displaced)[step]
        )
    return latents
