"""What the bounds on innovations catch: false alarms, misuse, and what refreshing then gains.

    python -m benchmarks.stability [--budget 10] [--samples 24] [--refine]

A pipeline is calibrated and a schedule solved (and refined) on calibration prompts. Then held-out
samples are made as they were calibrated, and with something else than that: other guidance, none,
one that ends in mid-run, other noise, changed weights, prompts of another kind. Each is compared
with the same request's own full run, so that a row says what following the plan costs there.
``caught`` is the share of samples that left the bounds at a knot; ``refresh`` is what
``on_unstable="refresh"`` makes of them, at so many refreshes on average.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import json
import sys
import warnings
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich import box
from rich.console import Console
from rich.table import Table
from torch import Tensor

from benchmarks.bars import MISSED
from meancache_plan import Profile, calibrate, refine, solve
from meancache_plan.core.psnr import psnr
from meancache_plan.files.atomic import write_atomically
from meancache_plan.schedule.artifact import Schedule
from meancache_plan.source import catalog
from meancache_plan.source.diffusers.call import arguments
from meancache_plan.source.diffusers.loading import load, quieten
from meancache_plan.source.recipe import Recipe, find_recipe, override, read_prompts
from meancache_runtime import attach
from meancache_runtime.innovation import OnUnstable

ALLOWED, COSTLY, CAUGHT = 0.01, 6.0, 0.95
"""False alarms at most; a case that costs more than so many dB is to be caught so often."""

FAR = ("qwxz vvkj", "the sea in winter, photographed at night", "0 1 2 3 4 5 6 7", "!!!")
"""Prompts unlike any that the reference pipeline was trained on."""


@contextmanager
def as_it_is(_pipe: Any) -> Generator[None]:
    """Change nothing."""
    yield


@dataclass(frozen=True, slots=True)
class Case:
    """A kind of request.

    Attributes:
        name: What differs from the calibrated one.
        call: Arguments in place of the recipe's.
        prompts: In place of the held-out ones.
        noise: What the initial noise is multiplied with.
        change: Puts the pipeline into another state.
    """

    name: str
    call: dict[str, Any] = field(default_factory=dict[str, Any])
    prompts: tuple[str, ...] = ()
    noise: float = 1.0
    change: Callable[[Any], Any] = as_it_is


@dataclass(frozen=True, slots=True)
class Found:
    """What was seen of a case: PSNR of latents in dB, of each sample.

    Attributes:
        name: The case's.
        plan: Following the plan.
        worst: The largest innovation, as a share of its bound.
        refreshed: With ``on_unstable="refresh"``.
        refreshes: What that took.
    """

    name: str
    plan: list[float]
    worst: list[float]
    refreshed: list[float]
    refreshes: list[int]

    @property
    def caught(self) -> float:
        """Share of the samples that left the bounds."""
        return float(np.mean(np.array(self.worst) > 1))


def guidance_ends(step: int) -> Callable[[Any], Any]:
    """True CFG without effect from a step on, as a callback or a guider turns it off."""

    @contextmanager
    def change(pipe: Any) -> Generator[None]:
        seen: list[tuple[Tensor, ...]] = []

        def forward(_module: Any, _arguments: Any, keywords: dict[str, Any], output: Any) -> Any:
            late = float(keywords["timestep"].flatten()[0]) < float(pipe.scheduler.sigmas[step])
            if len(seen) % 2 and late:
                output = seen[-1]
            seen.append(output)
            return output

        hook = pipe.transformer.register_forward_hook(forward, with_kwargs=True)
        try:
            yield
        finally:
            hook.remove()

    return change


def weights_moved(by: float) -> Callable[[Any], Any]:
    """Other weights, as a fine-tune has them: each matrix moved by so much of its own size."""

    @contextmanager
    def change(pipe: Any) -> Generator[None]:
        generator = torch.Generator().manual_seed(0)
        before = {name: value.clone() for name, value in pipe.transformer.state_dict().items()}
        with torch.no_grad():
            for weights in pipe.transformer.parameters():
                if weights.ndim > 1:
                    moved = torch.randn(weights.shape, generator=generator).to(weights)
                    weights += by * weights.std() * moved
        try:
            yield
        finally:
            pipe.transformer.load_state_dict(before)

    return change


def cases(recipe: Recipe) -> list[Case]:
    """The calibrated request first, then all that differ from it."""
    name = recipe.guidance_argument
    found = [Case("as calibrated")]
    if recipe.guidance is not None and recipe.guidance > 1:
        found += [Case(f"{name} {value:g}", {name: value}) for value in (1.0, 4.0, 7.5)]
        found += [Case(f"guidance ends at step {k}", change=guidance_ends(k)) for k in (20, 40)]
    found += [Case(f"noise × {by:g}", noise=by) for by in (0.8, 1.2)]
    found += [Case(f"weights moved by {by:.0%}", change=weights_moved(by)) for by in (0.02, 0.1)]
    return [*found, Case("prompts of another kind", prompts=FAR)]


class Bench:
    """Makes the samples of all cases.

    Args:
        pipe: The pipeline.
        recipe: How its samples are made.
        profile: What was calibrated: the shape of its noise, and the range of its latents.
        prompts: Held-out ones.
    """

    def __init__(self, pipe: Any, recipe: Recipe, profile: Profile, prompts: Sequence[str]) -> None:
        pipe.set_progress_bar_config(disable=True)
        self._pipe, self._call = pipe, arguments(recipe)
        self._shape = profile.settings.latent_shape
        self._range, self._steps = profile.latent_range, profile.steps
        self._prompts = prompts

    def run(self, case: Case, schedule: Schedule) -> Found:
        """Make every sample in full, along the plan, and refreshed where it strays."""
        found = Found(case.name, [], [], [], [])
        for number, prompt in enumerate(self._prompts):
            text = case.prompts[number % len(case.prompts)] if case.prompts else prompt
            with case.change(self._pipe):
                full = self._sample(case, text, number)
                latents, stats = self._follow(case, text, number, schedule, "warn")
                again, spent = self._follow(case, text, number, schedule, "refresh")
            found.plan.append(self._psnr(latents, full))
            found.worst.append(stats.innovation or 0.0)
            found.refreshed.append(self._psnr(again, full))
            found.refreshes.append(spent.refreshes)
        return found

    def _follow(
        self, case: Case, prompt: str, number: int, schedule: Schedule, policy: OnUnstable
    ) -> tuple[Tensor, Any]:
        with warnings.catch_warnings(), attach(self._pipe, schedule, on_unstable=policy) as plan:
            warnings.simplefilter("ignore")
            return self._sample(case, prompt, number), plan.stats

    def _sample(self, case: Case, prompt: str, number: int) -> Tensor:
        generator = torch.Generator().manual_seed(1000 + number)
        noise = case.noise * torch.randn(self._shape, generator=generator)
        options = {**self._call, **case.call, "latents": noise, "output_type": "latent"}
        with torch.no_grad():
            return self._pipe(prompt, num_inference_steps=self._steps, **options).images.float()

    def _psnr(self, latents: Tensor, full: Tensor) -> float:
        return psnr(float((latents - full).double().square().mean()), self._range)


def show(rows: Sequence[Found], budget: int) -> None:
    """A line a case."""
    table = Table(box=box.SIMPLE_HEAD, title=f"budget {budget}", title_justify="left")
    for head in ("request", "the plan", "caught", "largest", "refresh", "refreshes"):
        table.add_column(head, justify="left" if head == "request" else "right")
    for row in rows:
        table.add_row(
            row.name,
            f"{np.mean(row.plan):.1f} dB",
            f"{row.caught:.0%}",
            f"{np.median(row.worst):.2f}×",
            f"{np.mean(row.refreshed):.1f} dB",
            f"{np.mean(row.refreshes):.1f}",
        )
    Console().print(table)


def judged(rows: Sequence[Found]) -> bool:
    """Say whether the aims are met: few false alarms, and whatever costs much is caught."""
    calm, good = rows[0], True
    for row in rows:
        lost = float(np.mean(calm.plan) - np.mean(row.plan))
        if row is calm:
            met, aim = row.caught <= ALLOWED, f"at most {ALLOWED:.0%} false alarms"
        elif lost > COSTLY:
            met, aim = row.caught >= CAUGHT, f"{CAUGHT:.0%} caught, as it costs {lost:.1f} dB"
        else:
            continue
        good &= met
        print(f"{'met   ' if met else 'MISSED'} {row.name}: {row.caught:.0%} (to be: {aim})")
    return good


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pipeline", default=catalog.REFERENCE, help="a folder, or reference")
    parser.add_argument("--prompts", type=Path, help="calibration prompts; the recipe's")
    parser.add_argument("--heldout-prompts", type=Path, help="by default the recipe's")
    parser.add_argument("--max-sequence-length", type=int, help="by default the recipe's")
    parser.add_argument("--budget", type=int, default=10)
    parser.add_argument("--calibration", type=int, default=48, help="samples to calibrate on")
    parser.add_argument("--samples", type=int, default=24, help="held-out samples of each case")
    parser.add_argument("--refine", action="store_true", help="bounds of replays, better plans")
    parser.add_argument("--json", type=Path, help="write all figures there")
    options = parser.parse_args()
    quieten()
    recipe = find_recipe(catalog.REFERENCE, None)
    if options.max_sequence_length is not None:
        recipe = override(recipe, call={"max_sequence_length": options.max_sequence_length})
    fitted = read_prompts(str(options.prompts or recipe.prompts))[: options.calibration]
    heldout = read_prompts(str(options.heldout_prompts or recipe.heldout_prompts))
    source = load(options.pipeline, recipe, device="cpu")
    profile = calibrate(source, fitted, batch=8, progress=True)
    schedule = solve(profile, [options.budget])
    if options.refine:
        call = {**arguments(recipe), "num_inference_steps": recipe.steps}
        schedule = refine(source.pipe, schedule, profile, fitted, call=call, progress=True)
    bench = Bench(source.pipe, recipe, profile, heldout[: options.samples])
    rows = [bench.run(case, schedule) for case in cases(recipe)]
    show(rows, options.budget)
    if options.json is not None:
        write_atomically(options.json, json.dumps([vars_of(row) for row in rows]).encode())
    sys.exit(0 if judged(rows) else MISSED)


def vars_of(row: Found) -> dict[str, Any]:
    """A case's figures, as JSON values."""
    return {name: getattr(row, name) for name in Found.__slots__}


if __name__ == "__main__":
    main()
