"""An independent replay: the specification's formulas, straight from velocities, in float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from meancache_runtime.schedule import Adams, Grid, Hold, Jvp, Plan, Predictor, Schedule


def schedule(
    steps: int,
    knots: Sequence[int],
    predictors: Sequence[Predictor] | None = None,
    sigmas: Sequence[float] | None = None,
    tolerance: float = 0.0,
) -> Schedule:
    """A schedule with one plan whose budget is its number of knots; ``hold`` by default."""
    intervals = tuple(predictors or [Hold()] * len(knots))
    plan = Plan(len(knots), tuple(knots), intervals)
    grid = Grid(steps, None if sigmas is None else tuple(sigmas), tolerance)
    return Schedule(None, grid, (plan,))


def shifted(steps: int, shift: float = 3.0) -> list[float]:
    """σ₀ … σ_T as FLUX has them: evenly spaced, then shifted."""
    raw = [1 - i / steps for i in range(steps + 1)]
    return [shift * x / (1 + (shift - 1) * x) for x in raw]


def answers(plan: Plan, sigmas: Sequence[float], fresh: Sequence[Tensor]) -> list[Tensor]:
    """û of every step (length T), given the velocity at every knot."""
    applied: list[Tensor] = []
    known: list[Tensor] = []
    for n, (start, predictor) in enumerate(zip(plan.knots, plan.intervals, strict=True)):
        end = (*plan.knots, len(sigmas) - 1)[n + 1]
        v = fresh[n].double()
        if isinstance(predictor, Jvp):
            r = start - predictor.window
            moved = sum((sigmas[i + 1] - sigmas[i]) * applied[i] for i in range(r, start))
            span = sigmas[start] - sigmas[r]
            v_hat = v + (sigmas[end] - sigmas[start]) * (moved / span - known[r]) / span
        elif isinstance(predictor, Adams):
            nodes = [(sigmas[k], fresh[i].double()) for i, k in enumerate(plan.knots[: n + 1])]
            v_hat = torch.zeros_like(v)
            lower = torch.zeros_like(v)
            for order, gain in enumerate(predictor.gains, start=1):
                term = mean_of_polynomial(nodes[-order:], sigmas[start : end + 1])
                v_hat, lower = v_hat + gain * (term - lower), term
        else:
            v_hat = v
        applied += [v_hat] * (end - start)
        known += [v] + [v_hat] * (end - start - 1)
    return applied


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


def integrate(
    velocity: Callable[[Tensor, float], Tensor],
    noise: Tensor,
    plan: Plan,
    sigmas: Sequence[float],
) -> Tensor:
    """Euler steps with û, the velocity evaluated at knots only, on the states that this reaches."""
    latents, fresh = noise, []
    for step, (sigma, following) in enumerate(pairwise(sigmas)):
        if step in plan.knots:
            fresh.append(velocity(latents, sigma))
        past = Plan(len(fresh), plan.knots[: len(fresh)], plan.intervals[: len(fresh)])
        end = next((k for k in plan.knots if k > step), len(sigmas) - 1)
        latents = latents + (following - sigma) * answers(past, sigmas[: end + 1], fresh)[step]
    return latents
