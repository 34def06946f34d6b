"""Trajectories kept whole: what a planner needs of a profile, and deviations without it.

Everything that the planners compute from Gram matrices is computed here from the velocities.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray

from meancache_plan.core.deviation import EdgeIndex, windows
from meancache_plan.core.interval_costs import arc_costs
from meancache_plan.core.interval_graph import weighed
from meancache_plan.core.objective import Measurements, Objective
from meancache_plan.core.search import LineGraph
from meancache_plan.measure.profile import Profile
from meancache_runtime.binding import adams, bind
from meancache_runtime.predictors import Predictor
from meancache_runtime.schedule import Plan
from tests.fields import euler, mixture, noise, shifted_grid

Array = NDArray[np.float64]
Triple = tuple[int, int, int]


@dataclass(frozen=True)
class Trajectories:
    """Velocities float64 [S, T, N] of S samples, and what is known of their flow.

    ``growth`` is the propagation at each step, float64 [T + 1]; ``moved`` [S, T, N] is what the
    steps moved with, where that was not the velocity.
    """

    velocities: Array
    sigmas: tuple[float, ...]
    growth: Array
    prompt_index: NDArray[np.int64]
    l1: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 0), np.float32))
    moved: Array | None = None
    switches: tuple[int, ...] = ()

    @property
    def steps(self) -> int:
        return len(self.sigmas) - 1

    @property
    def numel(self) -> int:
        return self.velocities.shape[2]

    @property
    def index(self) -> EdgeIndex:
        return windows(self.steps, self.steps, 6)

    @property
    def grams(self) -> Array:
        moved = self.velocities[:, :0] if self.moved is None else self.moved
        columns = np.concatenate([self.velocities, moved], axis=1)
        return columns @ columns.swapaxes(1, 2)

    @property
    def displacements(self) -> range:
        return range(self.steps) if self.moved is None else range(self.steps, 2 * self.steps)

    def propagation_by_step(self) -> Array:
        return self.growth

    def of_prompts(self, *prompts: int) -> Trajectories:
        """The same samples, said to be of other prompts."""
        return replace(self, prompt_index=np.array(prompts))


def mixture_trajectories(steps: int, samples: int = 6, seed: int = 1) -> Trajectories:
    """Trajectories of the mixture's flow on the shifted grid, two for each prompt."""
    sigmas = shifted_grid(steps)
    found = [euler(mixture(), z, sigmas)[1].numpy() for z in noise(samples, seed=seed)]
    return of(np.stack(found), sigmas)


def of(velocities: Array, sigmas: Sequence[float]) -> Trajectories:
    """Trajectories with these velocities [S, T, N], two for each prompt, of some flow."""
    steps = len(sigmas) - 1
    growth = np.array([1 + 15 * ((steps - s) / steps) ** 2 for s in range(steps + 1)])
    return Trajectories(velocities, tuple(sigmas), growth, np.arange(len(velocities)) // 2)


def with_propagation(profile: Profile) -> Profile:
    """The profile, with propagation measured on one sample: early errors grow, late ones fade."""
    early, late = profile.steps // 5, profile.steps // 2
    return replace(
        profile,
        settings=profile.settings.model_copy(update={"propagation": True}),
        propagation_sigmas=np.array([profile.sigmas[early], profile.sigmas[late]]),
        propagation_index=np.array([0]),
        propagation=np.array([[9.0, 0.5]]),
    )


def mean_velocity(seen: Trajectories, start: int, end: int) -> Array:
    """u(start→end) from its definition, [S, N]."""
    delta = np.diff(seen.sigmas)[start:end]
    steps = seen.velocities if seen.moved is None else seen.moved
    moved = sum(d * steps[:, start + k] for k, d in enumerate(delta))
    return moved / (seen.sigmas[end] - seen.sigmas[start])


def applied(seen: Trajectories, form: Mapping[int, float]) -> Array:
    """A linear form of the velocities, [S, N]."""
    return sum(weight * seen.velocities[:, step] for step, weight in form.items())


def term(seen: Trajectories, knots: Sequence[int], end: int, j: int) -> Array:
    """The j-th Adams term of knots[-1]→end alone, [S, N]: order j + 1 less order j."""
    flow = seen.moved is not None
    upto = [
        applied(seen, adams(seen.sigmas, knots, end, (1.0,) * p, flow)) for p in range(1, j + 2)
    ]
    return upto[-1] - upto[-2] if j else upto[0]


def deviation(seen: Trajectories, predicted: Array, start: int, end: int, weighting: str) -> Array:
    """Weighted rms(u − û) of each sample, [S]; 0 for one of Euler's steps."""
    if end == start + 1 and seen.moved is None:
        return np.zeros(len(seen.velocities))
    missed = mean_velocity(seen, start, end) - predicted
    rms = np.sqrt((missed**2).mean(axis=1))
    h = abs(seen.sigmas[end] - seen.sigmas[start])
    return rms * {"none": 1.0, "width": h, "propagated": h * seen.growth[end]}[weighting]


def statistic(name: str, costs: Array) -> float:
    """Of one interval's costs [S], spelt out."""
    ascending = sorted(costs.tolist())
    match name.split(":"):
        case ["mean"]:
            return sum(ascending) / len(ascending)
        case ["quantile", level]:
            place = float(level) * (len(ascending) - 1)
            below = int(place)
            above = min(below + 1, len(ascending) - 1)
            return ascending[below] + (place - below) * (ascending[above] - ascending[below])
        case [_, level]:
            worst = ascending[-max(1, round((1 - float(level)) * len(ascending))) :]
            return sum(worst) / len(worst)
        case _:
            raise ValueError(name)


def plan_cost(
    seen: Trajectories,
    knots: Sequence[int],
    predictors: Sequence[Predictor],
    *,
    weighting: str,
    name: str = "mean",
    gamma: float = 2.0,
) -> float:
    """Σ C^γ of a plan with the û that replay is bound to, on full runs."""
    plan = Plan(len(knots), tuple(knots), tuple(predictors))
    bound = bind(plan, seen.sigmas, displaced=seen.moved is not None)
    total = 0.0
    for start, end in pairwise((*knots, seen.steps)):
        predicted = applied(seen, bound.forms[start])
        total += statistic(name, deviation(seen, predicted, start, end, weighting)) ** gamma
    return total


def heun_trajectories(steps: int, samples: int = 6, seed: int = 1) -> Trajectories:
    """Runs of the mixture's flow by Heun's method: steps that are not Euler's."""
    field, sigmas = mixture(), shifted_grid(steps)
    velocities, moved = [], []
    z = noise(samples, seed=seed)
    for sigma, following in pairwise(sigmas):
        velocity = field(z, sigma)
        there = field(z + (following - sigma) * velocity, following)
        velocities.append(velocity)
        moved.append((velocity + there) / 2)
        z = z + (following - sigma) * moved[-1]
    runs = [torch.stack(each, dim=1).numpy() for each in (velocities, moved)]
    return replace(of(runs[0], sigmas), moved=runs[1])


def arcs_of(measured: Measurements, objective: Objective) -> dict[Triple, tuple[str, float]]:
    """The predictor and the weight of each arc (r, t) → (t, s), the lightest of parallel ones."""
    found: dict[Triple, tuple[str, float]] = {}
    weighted = weighed(measured, objective, arc_costs)
    for (t, s, name, window), weight in zip(weighted.intervals, weighted.weights, strict=True):
        if (t - window, t, s) not in found or weight < found[t - window, t, s][1]:
            found[t - window, t, s] = name, float(weight)
    return found


def line_graph(measured: Measurements, objective: Objective) -> LineGraph:
    """The weights of all arcs, those of first intervals apart."""
    steps = len(measured.sigmas) - 1
    first, arcs = np.full(steps + 1, np.inf), np.full((steps, steps, steps + 1), np.inf)
    for (r, t, s), (_, weight) in arcs_of(measured, objective).items():
        if t:
            arcs[r, t, s] = weight
        else:
            first[s] = weight
    return LineGraph(first, arcs)
