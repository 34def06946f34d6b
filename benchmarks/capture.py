"""What calibration adds to plain generation: capture, measurement and keeping, as ratios.

    python -m benchmarks.capture [MODEL] [--rounds 12]

Plain and recorded runs alternate in one process; the medians of their times are compared: CPU
seconds of one thread, which other work on the machine changes little, or wall seconds on a GPU.
Exits with 3 if calibration adds more than 3 %.
"""

import argparse
import statistics
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import safetensors.numpy
import torch
from rich.console import Console
from rich.table import Table

from benchmarks.bars import MISSED
from meancache_plan.core.deviation import windows
from meancache_plan.files.atomic import write_atomically
from meancache_plan.measure.profile import measure
from meancache_plan.measure.profile_settings import MAX_WINDOW
from meancache_plan.source.diffusers.load_pipeline import load
from meancache_plan.source.diffusers.pipeline import Pipeline
from meancache_plan.source.recipe import find_recipe, read_prompts

TARGET = 0.03
CLOCK = time.perf_counter if torch.cuda.is_available() else time.process_time
PARTS = ("plain generation", "recorded generation", "Gram matrix and L1 deviations", "keep on disk")


def one_round(pipeline: Pipeline, prompt: str, folder: Path) -> dict[str, float]:
    """Seconds of one plain run, and of each part of calibrating the same sample."""
    marks = [CLOCK()]
    pipeline.run(prompt, 0, output_type="latent")
    marks.append(CLOCK())
    trajectory, _ = pipeline.record(prompt, 0)
    marks.append(CLOCK())
    steps = len(trajectory.velocities)
    found = measure(trajectory.velocities, trajectory.sigmas, windows(steps, steps, MAX_WINDOW))
    marks.append(CLOCK())
    data = safetensors.numpy.save({"gram": found.gram, "l1": found.l1})
    write_atomically(folder / "sample.safetensors", data)
    marks.append(CLOCK())
    return dict(zip(PARTS, (b - a for a, b in pairwise(marks)), strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", default="reference")
    parser.add_argument("--rounds", type=int, default=12)
    options = parser.parse_args()
    torch.set_num_threads(1)  # threads that wait for each other would count as busy
    recipe = find_recipe(options.model, None)
    pipeline = load(options.model, recipe)
    prompts = read_prompts(recipe.prompts)
    with tempfile.TemporaryDirectory() as folder:
        one_round(pipeline, prompts[0], Path(folder))  # warm up
        rounds = [
            one_round(pipeline, prompts[i % len(prompts)], Path(folder))
            for i in range(options.rounds)
        ]
    medians = {part: statistics.median(entry[part] for entry in rounds) for part in PARTS}
    plain = medians["plain generation"]
    beyond = sum(medians.values()) - 2 * plain
    table = Table("part", "median ms", "of plain generation")
    for part, value in medians.items():
        table.add_row(part, f"{1000 * value:.2f}", f"{value / plain:.2%}")
    table.add_row("calibration beyond generation", f"{1000 * beyond:.2f}", f"{beyond / plain:.2%}")
    Console().print(table)
    met = beyond / plain <= TARGET
    print(f"{'met' if met else 'MISSED'}: at most {TARGET:.0%}")
    sys.exit(0 if met else MISSED)


if __name__ == "__main__":
    main()
