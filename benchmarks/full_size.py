"""Seconds of full and of replayed denoising loops of big models, on an accelerator.

    python -m benchmarks.full_size [--model flux] [--repeats 3] [--json FILE]
    python -m benchmarks.full_size --tiny    # tries the same code with tiny models on the CPU

Builds FLUX.1-dev, Qwen-Image and HunyuanVideo at their real size with random weights (time does
not depend on them), in bfloat16, and runs their pipelines from drawn embeddings to latents: all 50
steps, and plans for 10, 16 and 25. Timed from the first transformer call to the end of the last
step. Exits with 1 if a speed-up is below 0.97 of T / B.
"""

import argparse
import gc
import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from benchmarks.giants import GIANTS, Giant
from meancache_plan.judge.circumstances import device_words
from meancache_plan.judge.loop_watch import Watch
from meancache_runtime import attach
from meancache_runtime.predictors import Adams, Hold
from meancache_runtime.schedule import Grid, Plan, Schedule

STEPS = 50
BUDGETS = (10, 16, 25)
TARGET = 0.97


@dataclass(frozen=True)
class Timing:
    """One budget of one model.

    Attributes:
        budget: Refreshes B; ``STEPS`` for the plain pipeline.
        seconds: Median over the repeats.
        calls: Transformer calls of one run, counted.
        speedup: Plain seconds / seconds.
        of_ideal: ``speedup`` / (T / B): 1 if cached steps cost nothing.
    """

    budget: int
    seconds: float
    calls: int
    speedup: float
    of_ideal: float


def uniform_schedule(budgets: Sequence[int] = BUDGETS) -> Schedule:
    """Evenly spread knots and Adams–Bashforth of order 2 on the grid, whatever its σ."""
    return Schedule(None, Grid(STEPS, None, 0.0), tuple(_plan(budget) for budget in budgets))


def _plan(budget: int) -> Plan:
    knots = tuple(STEPS * i // budget for i in range(budget))
    return Plan(budget, knots, (Hold(), *[Adams((1.0, 1.0))] * (budget - 1)))


def loop(pipe: Any, options: dict[str, Any]) -> tuple[float, int]:
    """Seconds from the first transformer call to the end of the last step, and calls made."""
    watch = Watch(pipe.transformer.device)

    def after(_pipe: Any, _step: int, _t: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        watch.step()
        return tensors

    with watch.on(pipe), torch.no_grad():
        pipe(**options, num_inference_steps=STEPS, callback_on_step_end=after)
    return watch.seconds(), watch.calls


def measure(pipe: Any, options: dict[str, Any], repeats: int) -> list[Timing]:
    """The plain pipeline and every budget, in turn, ``repeats`` times after one run to warm up."""
    loop(pipe, options)
    schedule = uniform_schedule()
    runs: dict[int, list[tuple[float, int]]] = {budget: [] for budget in (STEPS, *BUDGETS)}
    for _ in range(repeats):
        runs[STEPS].append(loop(pipe, options))
        for budget in BUDGETS:
            with attach(pipe, schedule, budget=budget):
                runs[budget].append(loop(pipe, options))
    plain = statistics.median(seconds for seconds, _ in runs[STEPS])
    return [_timing(budget, found, plain) for budget, found in runs.items()]


def _timing(budget: int, runs: list[tuple[float, int]], plain: float) -> Timing:
    seconds = statistics.median(seconds for seconds, _ in runs)
    speedup = plain / seconds
    return Timing(budget, seconds, runs[-1][1], speedup, speedup * budget / STEPS)


def machine(device: str) -> str:
    """What the times were measured on."""
    libraries = f"torch {torch.__version__}, diffusers {version('diffusers')}"
    return f"{device_words(torch.device(device))}, {libraries}"


def show(giant: Giant, timings: list[Timing], *, judged: bool) -> None:
    """Print one model's table."""
    print(f"\n{giant.model}, {giant.branches} transformer call(s) a step")
    for timing in timings:
        line = f"  B = {timing.budget:2}  {timing.seconds:9.3f} s  {timing.speedup:6.2f}x"
        if timing.budget < STEPS:
            line += f"  {timing.of_ideal:.3f} of T / B"
            if judged:
                line += "  PASS" if timing.of_ideal >= TARGET else "  FAIL"
        print(line)


def run(giant: Giant, device: str, repeats: int, *, tiny: bool) -> list[Timing]:
    """Build a model, measure it, and give its memory back."""
    pipe = giant.build(device, torch.bfloat16, tiny=tiny)
    timings = measure(pipe, giant.call(pipe, tiny=tiny), repeats)
    del pipe
    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()
    return timings


def main(arguments: list[str] | None = None) -> None:
    """Measure and print; exit with 1 if the target is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=GIANTS, action="append", help="default: all")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--tiny", action="store_true", help="tiny models on the CPU: no verdict")
    parser.add_argument("--json", type=Path, help="write what was measured to this file")
    chosen = parser.parse_args(arguments)
    if not (chosen.tiny or torch.cuda.is_available()):
        raise SystemExit("full size needs a CUDA device: use --tiny to try the code without one")
    device = "cpu" if chosen.tiny else "cuda"
    print(f"{machine(device)}; T = {STEPS}, target {TARGET} of T / B")
    results: dict[str, list[Timing]] = {}
    for name in chosen.model or GIANTS:
        results[name] = run(GIANTS[name], device, chosen.repeats, tiny=chosen.tiny)
        show(GIANTS[name], results[name], judged=not chosen.tiny)
    if chosen.json:
        rows = {name: [asdict(timing) for timing in found] for name, found in results.items()}
        chosen.json.write_text(json.dumps({"machine": machine(device), "models": rows}, indent=2))
    worst = min(t.of_ideal for found in results.values() for t in found)
    if not chosen.tiny and worst < TARGET:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
