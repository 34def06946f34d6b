"""Replays and fits: every plan's error on every sample, each computed once, and counted."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from meancache_plan.core.predictors import ADAMS, Terms
from meancache_plan.core.psnr import latent_range, moments, psnr
from meancache_plan.core.reweighted import Equations
from meancache_plan.errors import InputError
from meancache_plan.files.journal import Journal
from meancache_plan.improve.closed_loop import Fitted, Visited, fit
from meancache_plan.improve.dealt_samples import final_errors
from meancache_plan.improve.held_fits import Held, HeldFits
from meancache_plan.improve.joint_fit import RANK, Gains, refreshes, responses
from meancache_plan.improve.replayed_innovations import replayed
from meancache_plan.source.protocols import Ensemble
from meancache_runtime.schedule import Grid, Plan, Schedule

HELD = 2**32
"""Bytes that states of fits may take, for others to share."""

WORST = 1e30
"""The largest mean squared error: a replay that overflows has this one."""


class Standing(NamedTuple):
    """How a plan did on some samples: mean PSNR of the latents, and of the worst tenth, in dB."""

    samples: int
    mean: float
    worst_decile: float

    def guarded(self, decile: float) -> float:
        """The mean, less what the worst decile falls short of ``decile``."""
        return self.mean + min(0.0, self.worst_decile - decile)


def decibels(errors: Sequence[float] | NDArray[np.float64], value_range: float) -> list[float]:
    """PSNR of each sample's latents, from its mean squared error; very low for an error of ∞."""
    return [psnr(min(float(error), WORST), value_range) for error in errors]


class Trials:
    """Runs replays and fits, remembers them, and counts denoiser refreshes.

    Args:
        ensemble: The samples.
        journal: Keeps results.
        spent: Told the refreshes of each piece of work when it is done or recalled.
        grid: The schedule's; without, plans aim at the ensemble's own Euler steps.

    Raises:
        InputError: The full runs' latents are constant or not finite.
    """

    def __init__(
        self,
        ensemble: Ensemble,
        journal: Journal,
        spent: Callable[[int], None],
        grid: Grid | None = None,
    ) -> None:
        self.ensemble = ensemble
        sigmas = ensemble.sigmas
        given = grid or Grid(len(sigmas) - 1, sigmas, 0.05)
        still = sigmas[-1:] * (given.steps + 1 - len(sigmas))
        self._grid = replace(given, sigmas=sigmas + still)
        self._journal = journal
        self._spent = spent
        self._counted: set[str] = set()
        self._held = HeldFits(HELD)
        rows = range(len(ensemble.prompt_index))
        last = len(ensemble.sigmas) - 1
        latents = ensemble.full([0], 0)
        self._state = 2 * latents.numel() * latents.element_size()  # with a velocity, in bytes
        self._range = latent_range([moments(ensemble.full([row], last)) for row in rows])
        if not 0 < self._range < math.inf:
            raise InputError(
                "the full runs end in latents that are constant or not finite: no plan can be "
                "compared with them; try another dtype"
            )

    def standing(self, errors: Sequence[float] | NDArray[np.float64]) -> Standing:
        """Sum errors up."""
        found = np.sort(self.decibels(errors))
        worst = found[: max(1, len(found) // 10)]
        return Standing(len(found), float(found.mean()), float(worst.mean()))

    def decibels(self, errors: Sequence[float] | NDArray[np.float64]) -> list[float]:
        """PSNR of each sample's latents; very low for an error of ∞."""
        return decibels(errors, self._range)

    def replay(self, plan: Plan, rows: Sequence[int]) -> list[float]:
        """Mean squared errors of a plan on these samples."""
        schedule = Schedule(None, self._grid, (plan,))

        def run() -> list[float]:
            latents = self.ensemble.replay(rows, schedule, plan.budget)
            return final_errors(self.ensemble, rows, latents).tolist()

        taken = len(plan.knots) * len(rows)
        errors = self._once("replay", [repr(plan), list(rows)], run, taken)
        return [float(error) for error in errors]

    def plain(self, steps: int, rows: Sequence[int]) -> list[float]:
        """Mean squared errors of simply fewer steps."""

        def run() -> list[float]:
            return final_errors(self.ensemble, rows, self.ensemble.plain(rows, steps)).tolist()

        errors = self._once("plain", [steps, list(rows)], run, steps * len(rows))
        return [float(error) for error in errors]

    def fit(
        self,
        knots: Sequence[int],
        prior: Sequence[tuple[float, ...]],
        rows: Sequence[int],
        *,
        order: int,
        shrinkage: float,
        terms: Terms = ADAMS,
        hold: bool = False,
    ) -> Fitted:
        """Fit gains in closed loop: see :func:`meancache_plan.improve.closed_loop.fit`.

        At knots that it begins with as a held fit does, by the same arguments else, nothing is run
        again. It is held itself if so asked, while states of all take at most :data:`HELD` bytes;
        but not one that is known, of which there are no states any more.
        """
        kind = f"{terms.name}, {[*rows]}, {order}, {shrinkage}"
        other = self._held.nearest(kind, knots, prior)
        common = other.shares(kind, knots, prior) if other else 0
        size = len(knots) * len(rows) * self._state
        inputs = [terms.name, list(knots), list(prior), list(rows), order, shrinkage]
        new = _name("fit", inputs) not in self._counted
        keep = hold and new and self._held.room(size, other)
        visited: list[Visited | None] = []

        def run() -> list[object]:
            found = fit(
                self.ensemble,
                rows,
                knots,
                prior,
                order=order,
                shrinkage=shrinkage,
                displaced=self._grid.displaced,
                terms=terms,
                known=other and other.visited,
                keep=keep,
            )
            visited.append(found.visited)
            return [found.gains, found.errors.tolist()]

        gains, errors = self._once("fit", inputs, run, (len(knots) - common) * len(rows))
        if keep:
            found = visited[0] if visited else None
            self._held.add(Held(kind, tuple(knots), tuple(prior), size, found))
        return Fitted([tuple(each) for each in gains], np.array(errors))

    def responses(
        self, knots: Sequence[int], gains: Gains, rows: Sequence[int], terms: Terms = ADAMS
    ) -> Equations:
        """How final samples answer to gains: see :mod:`meancache_plan.improve.joint_fit`."""
        found = [self._response(knots, gains, row, terms) for row in rows]
        return Equations.of(np.array(found))

    def _response(
        self, knots: Sequence[int], gains: Gains, row: int, terms: Terms
    ) -> list[list[float]]:
        """Of one sample, kept: the responses of all take long."""

        def run() -> list[list[float]]:
            displaced = self._grid.displaced
            found = responses(self.ensemble, row, knots, gains, displaced=displaced, terms=terms)
            return found.tolist()

        inputs = [terms.name, list(knots), list(gains), row, RANK]
        return self._once("responses", inputs, run, refreshes(gains))

    def innovations(self, plan: Plan, rows: Sequence[int]) -> NDArray[np.float64]:
        """Those of a replayed plan: see :mod:`meancache_plan.improve.replayed_innovations`."""

        def run() -> list[list[float]]:
            displaced = self._grid.displaced
            return replayed(self.ensemble, rows, plan, displaced=displaced).tolist()

        taken = len(plan.knots) * len(rows)
        found = self._once("innovations", [repr(plan), list(rows)], run, taken)
        return np.array(found, dtype=np.float64)

    def _once(self, kind: str, inputs: list[Any], run: Callable[[], Any], taken: int) -> Any:
        """What work gives, kept; its refreshes count the first time that it is asked for."""
        found = self._journal.recall(kind, inputs, run)
        name = _name(kind, inputs)
        if name not in self._counted:
            self._counted.add(name)
            self._spent(taken)
        return found


def _name(kind: str, inputs: list[Any]) -> str:
    """What a piece of work is counted by."""
    return f"{kind} {inputs}"
