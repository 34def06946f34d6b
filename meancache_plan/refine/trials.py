"""Replays of candidates: every plan's error on every sample, each computed once."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from meancache_plan.artifact import Grid, Plan, Schedule
from meancache_plan.evaluate import metrics
from meancache_plan.refine.closed_loop import Fitted, fit
from meancache_plan.refine.ensemble import Ensemble, final_errors
from meancache_plan.refine.journal import Journal


class Standing(NamedTuple):
    """How a plan did on some samples: mean PSNR of the latents, and of the worst tenth, in dB."""

    samples: int
    mean: float
    worst_decile: float

    def guarded(self, decile: float) -> float:
        """The mean, less what the worst decile falls short of ``decile``."""
        return self.mean + min(0.0, self.worst_decile - decile)


class Trials:
    """Runs replays and fits, remembers them, and counts denoiser refreshes.

    Args:
        ensemble: The samples.
        journal: Keeps results.
        spent: Told the refreshes of each piece of work, done or recalled.
    """

    def __init__(self, ensemble: Ensemble, journal: Journal, spent: Callable[[int], None]) -> None:
        self.ensemble = ensemble
        self._journal = journal
        self._spent = spent
        rows = range(len(ensemble.prompt_index))
        last = len(ensemble.sigmas) - 1
        self._range = metrics.latent_range(
            [metrics.moments(ensemble.full([row], last)) for row in rows]
        )

    def standing(self, errors: Sequence[float] | NDArray[np.float64]) -> Standing:
        """Sum errors up."""
        finite = np.minimum(errors, 1e30)
        found = np.sort([metrics.psnr(float(error), self._range) for error in finite])
        worst = found[: max(1, len(found) // 10)]
        return Standing(len(found), float(found.mean()), float(worst.mean()))

    def decibels(self, errors: Sequence[float]) -> list[float]:
        """PSNR of each sample's latents."""
        return [metrics.psnr(min(error, 1e30), self._range) for error in errors]

    def replay(self, plan: Plan, rows: Sequence[int]) -> list[float]:
        """Mean squared errors of a plan on these samples."""
        bare = plan.model_copy(update={"cost": None, "measured": None})
        schedule = Schedule(
            model=None,
            grid=Grid(
                steps=len(self.ensemble.sigmas) - 1, sigmas=self.ensemble.sigmas, tolerance=0.05
            ),
            generation=None,
            plans=(bare,),
            provenance=None,
        ).replayable()

        def run() -> list[float]:
            latents = self.ensemble.replay(rows, schedule, plan.budget)
            return final_errors(self.ensemble, rows, latents).tolist()

        self._spent(len(plan.knots) * len(rows))
        inputs = [bare.model_dump(mode="json"), list(rows)]
        return [float(error) for error in self._journal.recall("replay", inputs, run)]

    def plain(self, steps: int, rows: Sequence[int]) -> list[float]:
        """Mean squared errors of simply fewer steps."""

        def run() -> list[float]:
            return final_errors(self.ensemble, rows, self.ensemble.plain(rows, steps)).tolist()

        self._spent(steps * len(rows))
        return [float(e) for e in self._journal.recall("plain", [steps, list(rows)], run)]

    def fit(
        self,
        knots: Sequence[int],
        prior: Sequence[tuple[float, ...]],
        rows: Sequence[int],
        *,
        order: int,
        shrinkage: float,
    ) -> Fitted:
        """Fit gains in closed loop: see :func:`meancache_plan.refine.closed_loop.fit`."""

        def run() -> list[object]:
            found = fit(self.ensemble, rows, knots, prior, order=order, shrinkage=shrinkage)
            return [found.gains, found.errors.tolist()]

        self._spent(len(knots) * len(rows))
        inputs = [list(knots), list(prior), list(rows), order, shrinkage]
        gains, errors = self._journal.recall("fit", inputs, run)
        return Fitted([tuple(each) for each in gains], np.array(errors))
