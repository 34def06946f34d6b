"""A flow to refine schedules of, and ensembles that count, fail or spoil what they are asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from meancache_plan.measure.profile import Profile
from meancache_plan.plan.solve import solve
from meancache_plan.schedule.artifact import PlanEntry, Schedule
from meancache_runtime import Schedule as Replayable
from meancache_runtime import integrate
from meancache_runtime.schedule import Plan
from tests.fields import euler, mixture, noise, profile_of, shifted_grid
from tests.improve.flow_ensemble import FlowEnsemble

SAMPLES = 16


@dataclass(frozen=True)
class Case:
    """A schedule to refine, and what it was solved from: 8 prompts with 2 samples each."""

    profile: Profile
    schedule: Schedule
    start: Tensor

    @property
    def judged(self) -> list[int]:
        """Samples of every other prompt, from the second on: those that plans are judged on."""
        return [row for row in range(SAMPLES) if (row // 2) % 2]

    def decibels(self, latents: Tensor) -> list[float]:
        """PSNR of final latents of the judged samples, range 4 standard deviations, at most 120."""
        full = euler(mixture(), self.start, self.profile.sigmas)[0][-1]
        largest = float(4 * full.std(correction=0)) ** 2
        errors = (latents - full[self.judged]).square().mean(dim=1).tolist()
        return [min(120.0, 10 * np.log10(largest / max(e, 1e-300))) for e in errors]

    def of_plan(self, entry: PlanEntry | Plan) -> list[float]:
        """PSNR of a plan on the judged samples, by the runtime."""
        plan = entry.plan if isinstance(entry, PlanEntry) else entry
        alone = Replayable(None, self.schedule.replayable().grid, (plan,))
        replayed = integrate(mixture(), self.start[self.judged], alone, budget=plan.budget)
        return self.decibels(replayed)

    def of_fewer_steps(self, steps: int) -> list[float]:
        """PSNR of plain runs on every n-th part of the grid, interpolated."""
        sigmas = self.profile.sigmas
        places = np.linspace(0, len(sigmas) - 1, steps + 1)
        latents = self.start[self.judged]
        for sigma, following in pairwise(np.interp(places, range(len(sigmas)), sigmas).tolist()):
            latents = latents + (following - sigma) * mixture()(latents, sigma)
        return self.decibels(latents)


def case(steps: int = 12, budgets: Sequence[int] = (3, 5)) -> Case:
    sigmas, start = shifted_grid(steps), noise(SAMPLES)
    runs = [euler(mixture(), z, sigmas) for z in start]
    profile = profile_of([v for _, v in runs], sigmas, ends=[z[-1] for z, _ in runs])
    return Case(profile, solve(profile, budgets), start)


class Samples(FlowEnsemble):
    """The samples of a case. Counts what is asked of the model; spoils replays if told to."""

    def __init__(
        self,
        of: Case,
        spoil: Callable[[Plan, Tensor], Tensor] = lambda _plan, latents: latents,
    ) -> None:
        index = of.profile.prompt_index.tolist()
        super().__init__(mixture(), of.start, of.profile.sigmas, prompt_index=index)
        self.asked = self.refreshes = 0
        self._spoil = spoil

    def velocity(self, rows: Sequence[int], step: int, latents: Tensor) -> Tensor:
        self.asked += 1
        self.refreshes += len(rows)
        return super().velocity(rows, step, latents)

    def replay(self, rows: Sequence[int], schedule: Replayable, budget: int) -> Tensor:
        self.asked += 1
        self.refreshes += len(rows) * len(schedule.plan(budget).knots)
        return self._spoil(schedule.plan(budget), super().replay(rows, schedule, budget))

    def plain(self, rows: Sequence[int], steps: int) -> Tensor:
        self.asked += 1
        self.refreshes += len(rows) * steps
        return super().plain(rows, steps)


def spoiled(budget: int, by: float) -> Callable[[Plan, Tensor], Tensor]:
    """Replays of one budget's plans end ``by`` from where they would."""

    def spoil(plan: Plan, latents: Tensor) -> Tensor:
        return latents + by if plan.budget == budget else latents

    return spoil


def worst_tenth(decibels: Sequence[float]) -> float:
    found = sorted(decibels)
    return float(np.mean(found[: max(1, len(found) // 10)]))


def guarded(decibels: Sequence[float], decile: float) -> float:
    """The mean, less what the worst tenth falls short of ``decile``."""
    return float(np.mean(decibels)) + min(0.0, worst_tenth(decibels) - decile)


def nan(_plan: Plan, latents: Tensor) -> Tensor:
    return torch.full_like(latents, torch.nan)


class Overflowing(FlowEnsemble):
    """The third sample's velocities are NaN."""

    def velocity(self, rows: Sequence[int], step: int, latents: Tensor) -> Tensor:
        found = super().velocity(rows, step, latents)
        return torch.where(torch.tensor([[row == 2] for row in rows]), torch.nan, found)
