"""What richer predictors would save beside order 3 with one gain a term, on ``solve``'s knots.

    python -m benchmarks.richer [--model digits] [--budgets 8,10,13,16,20]

Gains are fitted in open loop on calibration samples and judged on held-out ones: more terms; gains
for every channel; for the mean of the picture apart from the rest; for frequency bands; for the
latents beside the velocities, which sees what is noise and what is picture; and, with true CFG, for
the unconditional velocity apart from what guidance adds. An interval's error counts
by how much it grows on its way to the sample. It is an estimate: nothing is replayed.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.table import Table
from torch import Tensor

from benchmarks.contest import Bench, solved
from benchmarks.planners import usual_contest
from benchmarks.samples import PipelineSamples, Samples
from meancache_plan.core.predictors import adams_terms
from meancache_plan.core.reweighted import Equations, solve
from meancache_plan.improve.refine import ORDER
from meancache_plan.source.recipe import parse_numbers
from meancache_runtime.binding import LinearForm

SHRINKAGE = 0.01

Split = Callable[[Tensor], list[Tensor]]
"""Pictures [..., C, H, W] → parts [..., N], orthogonal to each other, with nothing left out."""


class Kind(NamedTuple):
    """Gains for each part of a velocity, so many terms each; guidance's part may have its own, and
    the latents at the interval's start one beside them."""

    order: int
    split: Split
    guided: bool = False
    latents: bool = False


def whole(pictures: Tensor) -> list[Tensor]:
    """One part."""
    return [pictures.flatten(-3)]


def channels(pictures: Tensor) -> list[Tensor]:
    """A part a channel."""
    return [each.flatten(-2) for each in pictures.unbind(-3)]


def mean_apart(pictures: Tensor) -> list[Tensor]:
    """Each channel's mean, and what is left."""
    mean = pictures.mean((-2, -1), keepdim=True)
    scale = math.sqrt(pictures.shape[-1] * pictures.shape[-2])
    return [scale * mean.flatten(-3), (pictures - mean).flatten(-3)]


def bands(*edges: float) -> Split:
    """Parts by spatial frequency, in cycles a place."""

    def split(pictures: Tensor) -> list[Tensor]:
        found = torch.fft.fft2(pictures, norm="ortho")
        down, across = (torch.fft.fftfreq(size) for size in pictures.shape[-2:])
        radius = torch.hypot(down[:, None], across[None])
        limits = pairwise((0.0, *edges, math.inf))
        masks = [(low <= radius) & (radius < high) for low, high in limits]
        return [torch.view_as_real(found[..., mask]).flatten(-3) for mask in masks]

    return split


KINDS = {
    "order 2": Kind(2, whole),
    "order 4": Kind(4, whole),
    "order 5": Kind(5, whole),
    "order 6": Kind(6, whole),
    "gains of each channel": Kind(ORDER, channels),
    "the picture's mean apart": Kind(ORDER, mean_apart),
    "2 frequency bands": Kind(ORDER, bands(0.13)),
    "3 frequency bands": Kind(ORDER, bands(0.07, 0.2)),
    "3 frequency bands, order 4": Kind(4, bands(0.07, 0.2)),
    "the latents too": Kind(ORDER, whole, latents=True),
    "guidance apart": Kind(ORDER, whole, guided=True),
}


@dataclass(frozen=True)
class Runs:
    """Full runs of n samples, as pictures.

    Attributes:
        latents: float64 [T + 1, n, C, H, W].
        guidance: The part of each velocity that guidance adds [T, n, C, H, W], or None.
    """

    latents: Tensor
    guidance: Tensor | None


def runs(samples: Samples, guided: bool) -> Runs:
    """Of all samples; the denoiser runs only to tell what guidance adds."""
    rows, steps = range(len(samples.prompt_index)), len(samples.sigmas) - 1
    latents = torch.stack([pictures(samples.full(rows, step)) for step in range(steps + 1)])
    if not (guided and isinstance(samples, PipelineSamples)):
        return Runs(latents, None)
    every = [samples.guidance(rows, step) for step in range(steps)]
    return Runs(latents, torch.stack([pictures(each) for each in every]))


def pictures(latents: Tensor) -> Tensor:
    """Latents as float64 [n, C, H, W]; FLUX packs squares of four places into tokens."""
    latents = latents.double()
    if latents.dim() == 2:  # digits
        return latents.unflatten(1, (1, math.isqrt(latents.shape[1]), -1))
    count, tokens, width = latents.shape
    side = math.isqrt(tokens)
    parts = latents.reshape(count, side, side, width // 4, 2, 2).permute(0, 3, 1, 4, 2, 5)
    return parts.reshape(count, width // 4, 2 * side, 2 * side)


def misses(
    kind: Kind, sigmas: Sequence[float], knots: Sequence[int], fitted: Runs, judged: Runs
) -> NDArray[np.float64]:
    """Squared errors of an interval's end in latents [interval, sample], with gains so fitted."""
    steps = len(sigmas) - 1
    found = np.zeros((len(knots), judged.latents.shape[1]))
    for n, (start, end) in enumerate(pairwise((*knots, steps))):
        count = 1 if end - start == 1 else min(kind.order, n + 1)
        forms = adams_terms(sigmas, knots[: n + 1], end, count, False)
        parts = (_parts(kind, sigmas, forms, (start, end), each) for each in (fitted, judged))
        for ours, theirs in zip(*parts, strict=True):
            prior = np.ones(ours.shape[1] - 1)
            prior[len(prior) - kind.latents :] = 0.0
            gains = solve(Equations.of(_products(ours)), prior, SHRINKAGE)
            found[n] += Equations.of(_products(theirs)).errors(gains)
    return found


def _parts(
    kind: Kind,
    sigmas: Sequence[float],
    forms: Sequence[LinearForm],
    interval: tuple[int, int],
    of: Runs,
) -> list[Tensor]:
    """Of each part: by what each term moves the latents, and the full run, [n, terms + 1, N]."""
    start, end = interval
    levels = torch.tensor(sigmas, dtype=torch.float64)
    h = float(levels[end] - levels[start])

    def velocity(step: int) -> Tensor:
        moved = of.latents[step + 1] - of.latents[step]
        return moved / (levels[step + 1] - levels[step])

    def term(form: LinearForm, of_step: Callable[[int], Tensor]) -> Tensor:
        return h * torch.stack([weight * of_step(k) for k, weight in form.items()]).sum(0)

    if kind.guided and of.guidance is not None:
        added = of.guidance
        columns = [term(form, lambda k: velocity(k) - added[k]) for form in forms]
        columns += [term(form, lambda k: added[k]) for form in forms]
    else:
        columns = [term(form, velocity) for form in forms]
    if kind.latents:
        columns.append(h * of.latents[start])
    columns.append(of.latents[end] - of.latents[start])
    return kind.split(torch.stack(columns, 1))


def _products(columns: Tensor) -> NDArray[np.float64]:
    return (columns @ columns.transpose(1, 2)).numpy()


def saved(
    contest: Bench, budget: int, kinds: Mapping[str, Kind], fitted: Runs, judged: Runs
) -> dict[str, tuple[float, float]]:
    """Of each kind: how far estimated errors lie below order 3's, in dB.

    Returns:
        The mean over samples, and over the tenth that order 3 does worst on.
    """
    sigmas, knots = contest.fitted.sigmas, solved(contest)[budget].knots
    growth = contest.profile.propagation_by_step()
    ends = (*knots[1:], len(sigmas) - 1)
    weights = np.array([growth[end] if end < len(growth) else 1.0 for end in ends])

    def final(kind: Kind) -> NDArray[np.float64]:
        return (misses(kind, sigmas, knots, fitted, judged) * weights[:, None] ** 2).sum(0)

    plain = final(Kind(ORDER, whole))
    hardest = np.argsort(-plain)[: max(1, len(plain) // 10)]
    return {
        name: (float(gained.mean()), float(gained[hardest].mean()))
        for name, kind in kinds.items()
        for gained in [10 * np.log10(plain / final(kind))]
    }


def table(contest: Bench, guided: bool) -> Table:
    """A row a kind, a column a budget."""
    kinds = {name: kind for name, kind in KINDS.items() if guided or not kind.guided}
    fitted, judged = (runs(each, guided) for each in (contest.fitted, contest.heldout))
    if fitted.latents.shape[2] == 1:
        del kinds["gains of each channel"]
    found = {budget: saved(contest, budget, kinds, fitted, judged) for budget in contest.budgets}
    shown = Table("dB saved (hardest tenth)", box=box.MARKDOWN)
    for budget in contest.budgets:
        shown.add_column(f"B = {budget}", justify="right")
    for name in kinds:
        cells = (found[budget][name] for budget in contest.budgets)
        shown.add_row(name, *(f"{mean:+.2f} ({tail:+.2f})" for mean, tail in cells))
    return shown


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="What richer predictors would save.")
    parser.add_argument("--model", choices=("reference", "digits"), default="reference")
    parser.add_argument("--budgets", default="8,10,13,16,20")
    parser.add_argument("--batch", type=int, default=16, help="samples a pipeline call")
    parser.add_argument("--folder", type=Path, help="for finished work")
    return parser.parse_args()


def main() -> None:
    options = parse()
    budgets = tuple(parse_numbers(options.budgets, "--budgets"))
    contest = usual_contest(options, budgets)
    Console(width=200).print(table(contest, options.model == "reference"))


if __name__ == "__main__":
    main()
