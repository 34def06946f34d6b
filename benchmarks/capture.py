"""What calibration adds to plain generation: capture, measurement and keeping, as ratios.

    python benchmarks/capture.py [MODEL] [--rounds 12]

Plain and recorded runs alternate in one process; the medians of their times are compared. The
target is at most 3 % in all.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import safetensors.numpy
from rich.console import Console
from rich.table import Table

from meancache_plan.adapters.diffusers import Pipeline, load
from meancache_plan.deviation import windows
from meancache_plan.files import write_atomically
from meancache_plan.profile import measure
from meancache_plan.recipe import find_recipe, read_prompts


def seconds(run: Callable[[], object]) -> float:
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def one_round(pipeline: Pipeline, prompt: str, folder: Path) -> dict[str, float]:
    """Times of one plain run, and of what calibrating the same sample takes beyond it."""
    plain = seconds(lambda: pipeline._call(prompt, 0, output_type="latent"))
    begin = time.perf_counter()
    trajectory, _ = pipeline.record(prompt, 0)
    recorded = time.perf_counter()
    steps = len(trajectory.velocities)
    found = measure(trajectory.velocities, trajectory.sigmas, windows(steps, steps, 6))
    measured = time.perf_counter()
    data = safetensors.numpy.save({"gram": found.gram, "l1": found.l1})
    write_atomically(folder / "sample.safetensors", data)
    kept = time.perf_counter()
    return {
        "plain generation": plain,
        "capture": recorded - begin - plain,
        "Gram matrix and L1 deviations": measured - recorded,
        "keep on disk": kept - measured,
        "calibration beyond generation": kept - begin - plain,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", default="reference")
    parser.add_argument("--rounds", type=int, default=12)
    options = parser.parse_args()
    recipe = find_recipe(options.model, None)
    pipeline = load(options.model, recipe)
    prompts = read_prompts(recipe.prompts)
    with tempfile.TemporaryDirectory() as folder:
        one_round(pipeline, prompts[0], Path(folder))  # warm up
        rounds = [
            one_round(pipeline, prompts[i % len(prompts)], Path(folder))
            for i in range(options.rounds)
        ]
    plain = statistics.median(entry["plain generation"] for entry in rounds)
    table = Table("part", "median ms", "of plain generation")
    for part in rounds[0]:
        median = statistics.median(entry[part] for entry in rounds)
        table.add_row(part, f"{1000 * median:.2f}", f"{median / plain:.2%}")
    Console().print(table)


if __name__ == "__main__":
    main()
