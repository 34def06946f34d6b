"""How far samples stray from what their plan's history promises while the plan is replayed.

The same on recorded trajectories is :mod:`meancache_plan.core.innovation`; where a plan leads to
other states than those, only a replay tells. It takes B denoiser refreshes a sample.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from meancache_plan.source.protocols import Ensemble
from meancache_runtime.binding import bind
from meancache_runtime.innovation import promised
from meancache_runtime.schedule import Plan
from meancache_runtime.table import Table


def replayed(
    ensemble: Ensemble, rows: Sequence[int], plan: Plan, *, displaced: bool = False
) -> NDArray[np.float64]:
    """Return ‖v_n − promised‖/‖v_n‖ at each knot after the first, float64 [n, N − 1].

    Args:
        ensemble: The samples.
        rows: Those to replay, n of them.
        plan: The plan.
        displaced: Whether plans aim at the flow: see :func:`meancache_runtime.binding.adams`.
    """
    sigmas = ensemble.sigmas
    table = Table.of(bind(plan, sigmas, displaced))
    forms: list[Mapping[int, float]] = [{}, *promised(table.sigmas, range(table.refreshes))]
    latents, fresh = ensemble.full(rows, 0), dict[int, Tensor]()
    found: list[NDArray[np.float64]] = []
    for n, (knot, form) in enumerate(zip(table.knots, forms, strict=True)):
        velocity = ensemble.velocity(rows, knot, latents).to(latents)
        fresh[n] = velocity
        if form:
            gap = velocity - _sum(form, fresh, velocity)
            found.append(_norms(gap) / np.maximum(_norms(velocity), np.finfo(float).tiny))
        latents = latents + _sum(table.weights[n], fresh, latents)
        needed = {n - 1, n, *(j for j in fresh if table.last_use[j] > n)}
        fresh = {j: v for j, v in fresh.items() if j in needed}
    return np.stack(found, axis=1) if found else np.empty((len(rows), 0))


def _sum(weights: Mapping[int, float], fresh: dict[int, Tensor], like: Tensor) -> Tensor:
    total = torch.zeros_like(like)
    for j, weight in weights.items():
        total += weight * fresh[j]
    return total


def _norms(latents: Tensor) -> NDArray[np.float64]:
    return latents.double().flatten(1).norm(dim=1).cpu().numpy()
