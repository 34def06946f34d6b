"""Every figure of a report, named once: what it is called, and how it is computed.

A figure is added by a line in :data:`FIGURES`; tables, charts, pages, CSV and JSON read them here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from meancache_plan.core.psnr import mean_square, psnr
from meancache_plan.judge import likeness
from meancache_plan.judge.measured_sample import Count, Made


class Seen(NamedTuple):
    """A sample as one method made it, and what it is measured against.

    Attributes:
        made: The sample.
        full: The same prompt and seed, all steps.
        flow: Final latents where the flow itself leads, if they are known.
        counted: What was counted of the run, beside time.
        steps: Of the full run.
    """

    made: Made
    full: Made
    flow: Tensor | None
    counted: Count
    steps: int


def _as_it_is(value: float, _full: float, _latent_range: float) -> float:
    return value


def _decibels(value: float, _full: float, latent_range: float) -> float:
    return psnr(value, latent_range)


def _over_full(value: float, full: float, _latent_range: float) -> float:
    return value / full


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure.

    Attributes:
        name: Its key in files.
        label: What people read.
        heading: The same for a narrow column.
        of: What is kept of a sample when it is made; None where it is not measured.
        unit: Such as dB; none for a plain number.
        digits: After the point.
        higher: Whether more is better.
        cost: Whether it is a cost, rather than a quality.
        looked_up: Whether it is kept in files alone, for who looks it up.
        finish: (what is kept, what is kept of the sample's full run, range of the latents) → the
            figure, once all samples are there.
    """

    name: str
    label: str
    heading: str
    of: Callable[[Seen], float | None]
    unit: str = ""
    digits: int = 4
    higher: bool = False
    cost: bool = False
    looked_up: bool = False
    finish: Callable[[float, float, float], float] = _as_it_is

    @property
    def axis(self) -> str:
        """The label of an axis."""
        unit = f", {self.unit}" if self.unit else ""
        return f"{self.label}{unit}{'' if self.higher else ' (less is better)'}"


def _from_flow(seen: Seen) -> float | None:
    return None if seen.flow is None else mean_square(seen.flow, seen.made.latents)


def _refreshes(share: float | None, steps: int) -> float | None:
    return None if share is None else steps * share


def _memory(seen: Seen) -> float | None:
    return seen.counted.memory if seen.made.memory is None else seen.made.memory


def _pictures(figure: likeness.PictureFigure) -> Callable[[Seen], float]:
    return lambda seen: figure(seen.full.frames, seen.made.frames)


def _flicker(seen: Seen) -> float | None:
    return likeness.flicker(seen.full.frames, seen.made.frames)


INNOVATION = "innovation"

FIGURES: dict[str, Figure] = {
    figure.name: figure
    for figure in (
        Figure(
            "psnr_latent",
            "PSNR of latents",
            "latent\nPSNR",
            lambda seen: mean_square(seen.full.latents, seen.made.latents),
            unit="dB", digits=1, higher=True, finish=_decibels,
        ),
        # The full run has an error of its own against the flow, which a much finer run follows:
        # nobody who copies the full run can do better than that.
        Figure(
            "psnr_flow",
            "PSNR of latents against the flow itself",
            "flow\nPSNR",
            _from_flow,
            unit="dB", digits=1, higher=True, finish=_decibels,
        ),
        Figure(
            "psnr",
            "PSNR of pictures",
            "picture\nPSNR",
            _pictures(likeness.picture_psnr),
            unit="dB", digits=1, higher=True,
        ),
        Figure("ssim", "SSIM of pictures", "SSIM", _pictures(likeness.ssim), higher=True),
        Figure("flip", "FLIP error", "FLIP", _pictures(likeness.flip)),
        Figure("flicker", "flicker of videos", "flicker", _flicker, unit="%", digits=2),
        Figure("lpips", "LPIPS", "LPIPS", _pictures(likeness.lpips)),
        Figure(
            INNOVATION,
            "largest innovation at a knot, as a share of its bound",
            "of bound",
            lambda seen: max(seen.made.innovations.values(), default=None),
            digits=2, looked_up=True,
        ),
        Figure(
            "refreshes",
            "equivalent refreshes: T × FLOPs / FLOPs of the full run",
            "refreshes",
            lambda seen: _refreshes(seen.counted.flops, seen.steps),
            digits=1, cost=True,
        ),
        Figure(
            "whole_refreshes",
            "refreshes computed whole, other calls counted as nothing",
            "whole",
            lambda seen: _refreshes(seen.counted.whole, seen.steps),
            digits=1, cost=True,
        ),
        Figure(
            "relative_seconds",
            "seconds of the denoising loop / those of the full run",
            "of full",
            lambda seen: seen.made.loop_seconds,
            cost=True, finish=_over_full,
        ),
        Figure(
            "loop_seconds",
            "seconds of the denoising loop",
            "loop s",
            lambda seen: seen.made.loop_seconds,
            unit="s", digits=2, cost=True,
        ),
        Figure(
            "seconds",
            "seconds of the pipeline's whole call",
            "s",
            lambda seen: seen.made.seconds,
            unit="s", digits=2, cost=True,
        ),
        Figure(
            "calls",
            "denoiser calls",
            "calls",
            lambda seen: float(seen.made.calls),
            digits=0, cost=True,
        ),
        Figure(
            "memory",
            "peak memory of the denoising loop",
            "memory",
            _memory,
            unit="bytes", digits=0, cost=True,
        ),
    )
}  # fmt: skip
"""All figures by name, in the order in which they are shown."""


def measured(lpips: bool = False) -> tuple[Figure, ...]:
    """What a judge measures.

    Raises:
        InputError: ``lpips`` is asked for and cannot be had; the message says how to get it.
    """
    if lpips:
        likeness.load_lpips()
    return tuple(figure for figure in FIGURES.values() if lpips or figure.name != "lpips")


def qualities(names: set[str]) -> list[Figure]:
    """The figures of quality among these names."""
    shown = (each for each in FIGURES.values() if not (each.cost or each.looked_up))
    return [figure for figure in shown if figure.name in names]
