"""What intervals t→s after r→t miss of z_s, with the very velocities that replay will have.

At a knot t everything follows from the inner products of the differences v_k − v_t: the Gram
matrix, centred there. (Differences are small beside the velocities; float64 keeps them.) Below,
w_k is what step k moved with: v_k itself where steps are Euler's.

A predictor's errors follow from these: see :mod:`meancache_plan.core.predictors`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from meancache_plan.core.columns import is_displaced
from meancache_plan.core.objective import Measurements


@dataclass(frozen=True, slots=True)
class Moments:
    """Inner products at a knot t on S samples, for the ends s = t+1 … and the knots r < t before.

    With a = Σ Δσ_k·(w_k − v_t) over the steps k of t→s (what ``hold`` misses of z_s), x = h·v_t,
    and y = m·(v_t − v_r)/(σ_t − σ_r) (what ``adams`` adds to ``hold``); m = Σ Δσ_k·(σ_k − σ_t), or
    where steps are not Euler's ∫(σ − σ_t)dσ = h²/2.

    Attributes:
        aa: ⟨a, a⟩, float64 [S, s].
        ax: ⟨a, x⟩ [S, s].
        xx: ⟨x, x⟩ [S, s].
        ay: ⟨a, y⟩ [S, r, s].
        xy: ⟨x, y⟩ [S, r, s].
        yy: ⟨y, y⟩ [S, r, s].
    """

    aa: NDArray[np.float64]
    ax: NDArray[np.float64]
    xx: NDArray[np.float64]
    ay: NDArray[np.float64]
    xy: NDArray[np.float64]
    yy: NDArray[np.float64]

    @classmethod
    def at(cls, measured: Measurements, t: int, ends: int) -> "Moments":
        """Measure at knot t, for the next ``ends`` steps as ends."""
        sigmas, gram = np.array(measured.sigmas), measured.grams
        steps = slice(t, t + ends)
        near = slice(measured.displacements[t], measured.displacements[t] + ends)
        delta = np.diff(sigmas)[steps]
        h = sigmas[t + 1 : t + ends + 1] - sigmas[t]
        own = gram[:, t, t, None]
        from_own = gram[:, t] - own  # ⟨column − v_t, v_t⟩ [S, n]
        ahead = gram[:, near, near] - gram[:, t, None, near] - from_own[:, near, None]
        behind = gram[:, :t, near] - gram[:, t, None, near] - from_own[:, :t, None]
        apart = np.diagonal(gram, axis1=1, axis2=2)[:, :t] - own - 2 * from_own[:, :t]
        pairs = np.outer(delta, delta)
        new = np.einsum("skl,kl->sk", ahead, np.tril(pairs) + np.tril(pairs, -1))
        mean = (delta * (sigmas[steps] - sigmas[t])).cumsum()
        if is_displaced(measured.displacements):
            mean = h**2 / 2
        slope = mean / (sigmas[t] - sigmas[:t, None])
        return cls(
            aa=new.cumsum(axis=1),
            ax=h * (delta * from_own[:, near]).cumsum(axis=1),
            xx=h**2 * own,
            ay=-slope * (delta * behind).cumsum(axis=2),
            xy=-slope * h * from_own[:, :t, None],
            yy=slope**2 * apart[:, :, None],
        )

    def least_squares(self, shrinkage: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """α − 1 and β of û = α·v_t + β·(…) that miss least over all samples, each [r, s].

        Args:
            shrinkage: Ridge towards α = β = 1, relative to a term's own size, > 0.
        """
        xx, xy, yy, ax, ay = (
            moment.mean(axis=0)
            for moment in (self.xx[:, None], self.xy, self.yy, self.ax[:, None], self.ay)
        )
        wide, high = (1 + shrinkage) * xx, (1 + shrinkage) * yy
        pull = ay + shrinkage * yy
        tiny = np.finfo(float).tiny
        determinant = np.maximum(wide * high - xy**2, tiny)
        alone = ax / np.maximum(wide, tiny)  # where y = 0, as in one of Euler's steps
        excess = np.where(high > 0, (high * ax - xy * pull) / determinant, alone)
        return excess, (wide * pull - xy * ax) / determinant
