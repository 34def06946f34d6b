"""What a cached step costs, against a full step of the same pipeline.

    python -m benchmarks.runtime [PIPELINE_DIRECTORY] [--guidance 2] [--profile]

Times every sampler step from one ``callback_on_step_end`` to the next, in runs that alternate
between plain and attached (every second step is cached), and prints medians and the ratio.
"""

import argparse
import cProfile
import pstats
import statistics
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline

from benchmarks.full_size import STEPS, uniform_schedule
from meancache_runtime import attach

REFERENCE = Path(__file__).parents[1] / "calibration" / "reference"
EVERY_SECOND = uniform_schedule((STEPS // 2,))
"""Of order 2, so that the predictor's own cost is in the knots' times."""

TARGET_RATIO, TARGET_SECONDS = 0.02, 1e-3


def step_times(pipe: Any, options: dict[str, Any]) -> list[float]:
    """Seconds of steps 1 … T − 1 of one run."""
    marks: list[float] = []

    def mark(_pipe: Any, _step: int, _t: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        marks.append(time.perf_counter())
        return tensors

    with torch.no_grad():
        pipe("a cat on a blue ground", callback_on_step_end=mark, output_type="latent", **options)
    return [b - a for a, b in pairwise(marks)]


def measure(pipe: Any, options: dict[str, Any], repeats: int) -> dict[str, float]:
    """Median seconds of a full step, of a knot and of a cached step."""
    times: dict[str, list[float]] = {"full": [], "knot": [], "cached": []}
    for _ in range(repeats):
        times["full"] += step_times(pipe, options)
        with attach(pipe, EVERY_SECOND):
            attached = step_times(pipe, options)
        times["cached"] += attached[0::2]
        times["knot"] += attached[1::2]
    return {name: statistics.median(values) for name, values in times.items()}


def show_profile(pipe: Any, options: dict[str, Any]) -> None:
    """Where the time of an attached run goes beside the denoiser."""
    profiler = cProfile.Profile()
    with attach(pipe, EVERY_SECOND):
        profiler.enable()
        step_times(pipe, options)
        profiler.disable()
    pstats.Stats(profiler).sort_stats("tottime").print_stats("meancache|scheduling|pipeline", 12)


def main() -> None:
    """Measure and print; exit with 1 if a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pipeline", nargs="?", default=str(REFERENCE))
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--side", type=int, default=64, help="height and width in pixels")
    parser.add_argument("--text", type=int, default=12, help="max_sequence_length")
    parser.add_argument("--guidance", type=float, default=1.0, help="true_cfg_scale")
    parser.add_argument("--profile", action="store_true")
    chosen = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    pipe = DiffusionPipeline.from_pretrained(chosen.pipeline).to(device)
    pipe.set_progress_bar_config(disable=True)
    options: dict[str, Any] = {
        "num_inference_steps": STEPS,
        "height": chosen.side,
        "width": chosen.side,
        "max_sequence_length": chosen.text,
    }
    if chosen.guidance > 1:
        options |= {"true_cfg_scale": chosen.guidance, "negative_prompt": ""}
    step_times(pipe, options)
    result = measure(pipe, options, chosen.repeats)
    ratio = result["cached"] / result["full"]
    for name, seconds in result.items():
        print(f"{name:>7} step  {1e3 * seconds:8.3f} ms")
    print(f"cached / full {ratio:9.2%}  (target: under {TARGET_RATIO:.0%} and 1 ms)")
    if chosen.profile:
        show_profile(pipe, options)
    if ratio >= TARGET_RATIO or result["cached"] >= TARGET_SECONDS:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
