"""How far a predicted average velocity is from the true one, on a recorded trajectory.

Measured once a trajectory with torch: the Gram matrix of its velocities, from which every
squared deviation of every linear predictor follows, and the paper's L1 deviations
(MeanCache, arXiv 2601.19961), which are not in it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from meancache_plan.core.columns import displacement_columns, own_velocities, single_columns
from meancache_runtime.binding import average, combine, jvp

WORKSPACE = 1 << 20
"""Bytes that a measurement may use beside the trajectory, where one latent is smaller."""

ROWS = 64
"""Residuals per batch in :func:`rms`: few enough that neighbours share their zero columns."""


@dataclass(frozen=True, slots=True)
class EdgeIndex:
    """The canonical order of triples (t, s, K): by t, then s, then K.

    K = 0 is ``hold``; K = 1 … min(``max_window``, t) is ``jvp`` over the last K steps.
    """

    steps: int
    max_edge: int
    max_window: int

    def ends(self, start: int) -> range:
        """Return the s of the triples that start at t."""
        return range(start + 1, min(start + self.max_edge, self.steps) + 1)

    def windows(self, start: int) -> range:
        """Return the K of the triples that start at t."""
        return range(min(start, self.max_window) + 1)

    def __iter__(self) -> Iterator[tuple[int, int, int]]:
        """Yield the triples (t, s, K) in order."""
        for start in range(self.steps):
            for end in self.ends(start):
                for window in self.windows(start):
                    yield start, end, window

    def __len__(self) -> int:
        """Return the number of triples."""
        return sum(len(self.ends(t)) * len(self.windows(t)) for t in range(self.steps))


def windows(steps: int, max_edge: int, max_window: int) -> EdgeIndex:
    """Enumerate the triples (t, s, K) with s − t ≤ ``max_edge`` and K ≤ ``max_window``, K ≤ t.

    Example:
        >>> list(windows(steps=2, max_edge=2, max_window=1))
        [(0, 1, 0), (0, 2, 0), (1, 2, 0), (1, 2, 1)]
    """
    return EdgeIndex(steps, max_edge, max_window)


def dense(forms: Sequence[Mapping[int, float]], columns: int) -> NDArray[np.float64]:
    """Return linear forms as the rows of a matrix, float64 [n, columns]."""
    rows = np.zeros((len(forms), columns))
    for row, form in zip(rows, forms, strict=True):
        row[list(form)] = list(form.values())
    return rows


def gram(columns: Tensor) -> NDArray[np.float64]:
    """Return the inner products of a trajectory's columns, float64 [n, n].

    Args:
        columns: [n, ...], any floating dtype and device.
    """
    flat = columns.detach().flatten(1)
    double = torch.device("cpu") if flat.device.type == "mps" else flat.device
    total = torch.zeros(len(flat), len(flat), dtype=torch.float64, device=double)
    for part in _parts(flat, row_bytes=8 * len(flat)):
        wide = part.to(double).to(torch.float64)
        total.addmm_(wide, wide.T)
    return ((total + total.T) / 2).cpu().numpy()


def l1(columns: Tensor, sigmas: Sequence[float], index: EdgeIndex) -> NDArray[np.float32]:
    """Return mean|u(t→s) − û(t→s)| for each triple of ``index``, float32 [len(index)].

    With û = v_t + h·JVP_K (JVP₀ = 0) this is |h| · mean|(u − v_t)/h − JVP_K|, so the deviations
    at a knot t are the L1 distances between two short lists of vectors.

    Args:
        columns: [T, ...] or [2T, ...], any floating dtype and device; summed in float32 or better.
        sigmas: The grid, T + 1 values.
        index: Which triples, in which order.
    """
    flat = columns.detach().flatten(1)
    dtype = torch.promote_types(flat.dtype, torch.float32)
    knots: list[Tensor] = []
    for knot in _slopes(tuple(sigmas), index, displacement_columns(index.steps, len(flat))):
        forms = knot.slopes.to(flat.device, dtype)
        ends, near = len(knot.spans), slice(knot.first, knot.first + forms.shape[1])
        distance = forms.new_zeros(ends, len(forms) - ends)
        for part in _parts(flat, row_bytes=2 * dtype.itemsize * sum(forms.shape)):
            slope = forms @ (part[near].to(dtype) - part[knot.start].to(dtype))
            distance += torch.cdist(slope[:ends], slope[ends:], p=1)
        knots.append((distance * knot.spans.to(distance)[:, None]).flatten())
    return (torch.cat(knots) / flat.shape[1]).float().cpu().numpy()


class _Knot(NamedTuple):
    """The forms (u(t→s) − v_t)/h for all s, then JVP_K for all K, as rows, and |h| for all s.

    The weights of each form sum to 0, so they may be applied to columns less v_t; they are cut to
    the columns from the ``first`` to the last that any of them uses.
    """

    start: int
    first: int
    slopes: Tensor
    spans: Tensor


@lru_cache(maxsize=4)
def _slopes(sigmas: tuple[float, ...], index: EdgeIndex, displacements: range) -> tuple[_Knot, ...]:
    own, moved = own_velocities(index.steps), single_columns(displacements)
    knots: list[_Knot] = []
    for t in range(index.steps):
        targets = [(s, average(sigmas, t, s, moved)) for s in index.ends(t)]
        predicted = [
            (t + 1, jvp(sigmas, t, t + 1, window, own, own) if window else own[t])
            for window in index.windows(t)
        ]
        slopes = [
            combine([(1 / (sigmas[s] - sigmas[t]), u), (-1 / (sigmas[s] - sigmas[t]), own[t])])
            for s, u in targets + predicted
        ]
        first, last = t - index.windows(t)[-1], displacements[index.ends(t)[-1] - 1] + 1
        rows = torch.from_numpy(dense(slopes, displacements.stop)[:, first:last])
        spans = torch.tensor(
            [abs(sigmas[s] - sigmas[t]) for s in index.ends(t)], dtype=torch.float64
        )
        knots.append(_Knot(t, first, rows, spans))
    return tuple(knots)


def rms(
    grams: NDArray[np.float64], numel: int, residuals: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return √(r G rᵀ / N), the rms of each residual on each sample, float64 [S, n].

    Args:
        grams: Gram matrices, float64 [S, n, n].
        numel: Elements N of a latent.
        residuals: Weights r of the columns, float64 [rows, n]; fast if neighbours are non-zero in
            the same columns.
    """
    squares = np.zeros((len(grams), len(residuals)))
    for begin in range(0, len(residuals), ROWS):
        rows = slice(begin, begin + ROWS)
        if len(used := np.flatnonzero(residuals[rows].any(axis=0))):
            near = slice(used[0], used[-1] + 1)
            r = np.ascontiguousarray(residuals[rows, near])
            squares[:, rows] = np.einsum("snt,nt->sn", r @ grams[:, near, near], r)
    return np.sqrt(np.maximum(squares, 0.0) / numel)


def _parts(flat: Tensor, row_bytes: int) -> Iterator[Tensor]:
    """Cut [n, N] along N, so that the workspace holds two parts and their results."""
    limit = max(WORKSPACE, flat.shape[1] * flat.element_size()) // 3
    yield from flat.split(max(1, limit // row_bytes), dim=1)
