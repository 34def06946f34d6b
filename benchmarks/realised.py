"""How much of T / B the denoising loop gains, with a plan attached and with one as the scheduler.

    python -m benchmarks.realised [--budgets 10 16 25] [--repeats 6] [--guidance 2.5]

Runs the reference pipeline plain, attached and with MeanCacheScheduler in turn, on one thread, in
CPU time of this process. A denoiser call is the same work in all three, so its time is the median
of all their calls; what a loop does beside them is the sum of each step's least over the repeats.
So what else the machine does hardly counts. A loop goes from its first denoiser call to the end of
its last step. Exits with 3 if the scheduler is below its target.
"""

import argparse
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import torch
from diffusers import FluxPipeline

from benchmarks.bars import MISSED
from meancache_runtime import MeanCacheScheduler, Schedule, attach, load_schedule

ROOT = Path(__file__).parents[1]
SCHEDULE = ROOT / "schedules" / "reference" / "50-steps.json"
STEPS = 50
TARGET = 0.99
"""Of T / B, for the scheduler."""


@dataclass
class Loop:
    """One run's loop, in CPU seconds.

    Attributes:
        calls: Of each denoiser call.
        beside: Of each step of the pipeline's loop, without its calls.
    """

    calls: list[float] = field(default_factory=list)
    beside: list[float] = field(default_factory=list)


def timed(pipe: Any, options: dict[str, Any]) -> Loop:
    """Run the pipeline once."""
    loop, transformer = Loop(), pipe.transformer
    marks: list[float] = []

    def mark(*_: Any) -> None:
        marks.append(time.process_time())

    def begin(*_: Any) -> None:
        if not marks:  # the loop begins
            mark()
        mark()

    def step(_pipe: Any, _step: int, _t: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        mark()
        began, *calls, ended = marks
        seconds = [b - a for a, b in zip(calls[::2], calls[1::2], strict=True)]
        loop.calls.extend(seconds)
        loop.beside.append(ended - began - sum(seconds))
        marks[:] = [ended]
        return tensors

    hooks = [
        transformer.register_forward_pre_hook(begin),
        transformer.register_forward_hook(mark),
    ]
    with torch.no_grad():
        pipe("a cat on a blue ground", callback_on_step_end=step, output_type="latent", **options)
    for hook in hooks:
        hook.remove()
    return loop


def ways(pipe: Any, schedule: Schedule, budget: int) -> dict[str, Callable[[], Any]]:
    """What is compared: a context around a run of each."""
    plain = pipe.scheduler
    planned = MeanCacheScheduler.from_schedule(plain, schedule, budget=budget)

    def sampling_with(scheduler: Any) -> AbstractContextManager[None]:
        pipe.scheduler = scheduler
        return nullcontext()

    def attached() -> AbstractContextManager[Any]:
        pipe.scheduler = plain
        return attach(pipe, schedule, budget=budget)

    return {
        "MeanCacheScheduler": lambda: sampling_with(planned),
        "attach": attached,
        "plain": lambda: sampling_with(plain),
    }


def measure(pipe: Any, options: dict[str, Any], budget: int, repeats: int) -> dict[str, float]:
    """CPU seconds of each way's loop."""
    loops: dict[str, list[Loop]] = {}
    for _ in range(repeats):
        for name, way in ways(pipe, load_schedule(SCHEDULE), budget).items():
            with way():
                loops.setdefault(name, []).append(timed(pipe, options))
    call = median(seconds for runs in loops.values() for run in runs for seconds in run.calls)
    return {
        name: call * len(runs[0].calls)
        + sum(map(min, zip(*(run.beside for run in runs), strict=True)))
        for name, runs in loops.items()
    }


def main() -> None:
    """Measure and print; exit with 3 if the target is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--budgets", type=int, nargs="+", default=[10, 16, 25])
    parser.add_argument("--repeats", type=int, default=6)
    parser.add_argument("--guidance", type=float, default=2.5, help="true_cfg_scale")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    pipe = FluxPipeline.from_pretrained(ROOT / "calibration" / "reference")
    pipe.set_progress_bar_config(disable=True)
    options = {"num_inference_steps": STEPS, "height": 64, "width": 64, "max_sequence_length": 12}
    options |= {"true_cfg_scale": chosen.guidance, "negative_prompt": ""}
    reached: list[float] = []
    for budget in chosen.budgets:
        seconds = measure(pipe, options, budget, chosen.repeats)
        plain, ideal = seconds.pop("plain"), STEPS / budget
        shares = {name: plain / of_plan / ideal for name, of_plan in seconds.items()}
        reached.append(shares["MeanCacheScheduler"])
        words = ", ".join(f"{name} {share:.3f}" for name, share in shares.items())
        print(f"B = {budget}: {plain:.3f} s plain, T / B = {ideal:.2f}; of it {words}", flush=True)
    if min(reached) < TARGET:
        print(f"MISSED: MeanCacheScheduler is below {TARGET} of T / B")
        sys.exit(MISSED)


if __name__ == "__main__":
    main()
