"""Plans on videos: the reference pipeline of videos, plans beside their baselines.

    python -m benchmarks.video

As :mod:`benchmarks.planners` judges them on pictures: everyone plans from one calibration and is
judged on prompts of combinations that the pipeline never saw in training, at equal denoiser
refreshes, against the video of all steps. Beside the PSNR of the final latents stand that of the
frames, and flicker: how differently the video changes from frame to frame, RMS, in % of the range
from black to white. Finished work is kept under ``build/video/``; an interrupted run goes on from
there.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.table import Table
from torch import Tensor

from benchmarks import bars
from benchmarks.contest import BASELINES, OURS, REFINED, Bench, Judge, Way
from benchmarks.planners import Setting, contest_of
from benchmarks.samples import PipelineSamples
from benchmarks.standings import details, means
from meancache_plan.judge.figures import FIGURES
from meancache_plan.judge.findings import Row, Spread
from meancache_plan.judge.likeness import flicker, picture_psnr
from meancache_plan.source.catalog import VIDEO_REFERENCE
from meancache_plan.source.recipe import parse_numbers

BUDGETS = "8,13,20"
SEEN = ("psnr", "flicker")
"""What is measured on the frames."""


class VideoJudge(Judge):
    """Judges the frames as well as the latents."""

    def __init__(self, contest: Bench, samples: PipelineSamples) -> None:
        super().__init__(contest, samples, "heldout")
        self._pipe = samples.pipe
        self._films = contest.journal("films")
        self._last: tuple[Any, Tensor] | None = None
        self.full = self.frames(samples.full(self._rows, contest.profile.steps))

    def row(self, method: str, way: Way, budget: int) -> Row:
        """The figures of a way, those of its frames too."""
        found = super().row(method, way, budget)
        seen = self._films.recall(
            "frames", ["%", str(way), budget], lambda: self._seen(way, budget)
        )
        prompts = self._samples.prompt_index.tolist()
        more = {
            name: Spread.of(values, higher=FIGURES[name].higher, groups=prompts)
            for name, values in zip(SEEN, seen, strict=True)
        }
        return found.model_copy(update={"figures": found.figures | more})

    def frames(self, latents: Tensor) -> NDArray[np.float32]:
        """Videos [S, F, height, width, 3], 0 … 1, as the pipeline decodes final latents."""
        vae = self._pipe.vae
        mean, deviation = (
            torch.tensor(each).view(1, -1, 1, 1, 1)
            for each in (vae.config.latents_mean, vae.config.latents_std)
        )
        with torch.inference_mode():
            found = vae.decode(latents * deviation + mean, return_dict=False)[0]
        return self._pipe.video_processor.postprocess_video(found, output_type="np")

    def _seen(self, way: Way, budget: int) -> list[list[float]]:
        films = self.frames(self._latents(way, budget))
        pairs = list(zip(self.full, films, strict=True))
        return [
            [float(measure(a, b) or 0) for a, b in pairs] for measure in (picture_psnr, flicker)
        ]

    def _latents(self, way: Way, budget: int) -> Tensor:
        """Made once for both kinds of figures."""
        if self._last is None or self._last[0] != (way, budget):
            self._last = (way, budget), super()._latents(way, budget)
        return self._last[1]


def judged(judge: VideoJudge, contest: Bench) -> Iterator[Row]:
    """A row for each method and budget."""
    for name, method in (BASELINES | OURS).items():
        for budget, way in method(contest).items():
            yield judge.row(name, way, budget)


def table(rows: Sequence[Row], name: str, digits: int) -> Table:
    """A figure's mean for each method and budget, and in brackets that of the worst tenth."""
    budgets = sorted({row.budget or 0 for row in rows})
    shown = Table(f"{FIGURES[name].axis}: mean (worst tenth)", box=box.MARKDOWN)
    for budget in budgets:
        shown.add_column(f"B = {budget}", justify="right")
    found = {(row.method, row.budget): row.figure(name) for row in rows}
    for method in dict.fromkeys(row.method for row in rows):
        own = [found[method, budget] for budget in budgets]
        shown.add_row(method, *(f"{s.mean:.{digits}f} ({s.worst_tenth:.{digits}f})" for s in own))
    return shown


def is_better(rows: Sequence[Row]) -> bool:
    """Whether refined plans beat every baseline at every budget, in each figure's mean; says so."""
    good = True
    for name in ("psnr_latent", *SEEN):
        sign = 1 if FIGURES[name].higher else -1
        for own in (row for row in rows if row.method == REFINED):
            rivals = [r for r in rows if r.method in BASELINES and r.budget == own.budget]
            best = max(rivals, key=lambda row: sign * row.mean(name))
            gain = sign * (own.mean(name) - best.mean(name))
            what = f"B = {own.budget}, {name}: {REFINED} better than {best.method}"
            good &= bars.met(f"{what} by {FIGURES[name].unit}", gain, gain > 0, "> 0")
    return good


def main() -> int:
    parser = argparse.ArgumentParser(description="Plans on videos beside their baselines.")
    parser.add_argument("--budgets", default=BUDGETS, help="such as 8,13,20")
    parser.add_argument("--calibration", type=int, default=24, help="calibration samples")
    parser.add_argument("--heldout", type=int, default=32, help="held-out samples")
    parser.add_argument("--batch", type=int, default=16, help="samples a pipeline call")
    parser.add_argument("--folder", type=Path, help="for finished work")
    options = parser.parse_args()
    sizes = options.calibration, options.heldout
    folder = options.folder or Path("build/video") / "{}-{}".format(*sizes)
    setting = Setting(VIDEO_REFERENCE, folder, *sizes, batch=options.batch)
    contest = contest_of(setting, parse_numbers(options.budgets, "--budgets"))
    assert isinstance(contest.heldout, PipelineSamples)
    judge = VideoJudge(contest, contest.heldout)
    rows = list(judged(judge, contest))
    console = Console(width=200)
    console.print(means(rows), table(rows, "psnr", 1), table(rows, "flicker", 2), sep="\n")
    moves = 100 * np.sqrt(np.mean(np.diff(judge.full.astype(np.float64), axis=1) ** 2))
    console.print(f"The full videos themselves change by {moves:.2f} % from frame to frame (RMS).")
    console.print(details(rows))
    return 0 if is_better(rows) else bars.MISSED


if __name__ == "__main__":
    sys.exit(main())
