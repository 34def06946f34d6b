"""Time ``solve`` for all budgets at T = 50 and T = 100, on one thread.

Run ``python benchmarks/planning.py``. The profiles are synthetic: smooth random velocities along
a shifted flow-matching grid.
"""

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import argparse
import time

import numpy as np
import torch

from meancache_plan.profile import Profile, ProfileSettings, measure
from meancache_plan.solver import solve

LIMITS = {50: 2.0, 100: 15.0}
"""Seconds that each number of steps T may take."""

RUNS = (
    ("l1", ("hold", "jvp")),
    ("rms", ("hold", "jvp")),
    ("displacement", ("hold", "jvp", "adams")),
)


def synthetic_profile(steps: int, samples: int, numel: int = 64) -> Profile:
    """Measure ``samples`` smooth random trajectories of ``steps`` steps."""
    t = np.linspace(1, 0, steps + 1)
    sigmas = tuple((3 * t / (1 + 2 * t)).tolist())
    settings = ProfileSettings(
        sigmas=sigmas,
        dtype="float32",
        latent_shape=(1, numel),
        max_edge=steps,
        max_window=6,
        samples_total=samples,
        versions={},
    )
    powers = torch.tensor(sigmas[:-1])[:, None] ** torch.arange(8)
    generator = torch.Generator().manual_seed(0)
    measured = [
        measure(powers @ torch.randn(8, numel, generator=generator), sigmas, settings.index)
        for _ in range(samples)
    ]
    numbers = np.arange(samples)
    return Profile(
        settings=settings,
        sample_index=numbers,
        prompt_index=numbers,
        seeds=numbers,
        grams=np.stack([sample.gram for sample in measured]),
        l1=np.stack([sample.l1 for sample in measured]),
        seconds=np.zeros(samples),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=250, help="samples in a profile")
    samples = parser.parse_args().samples
    torch.set_num_threads(1)
    print(f"{samples} samples, one thread; seconds: wall, CPU, allowed\n")
    print(
        f"{'T':>4} {'budgets':>8} {'metric':<13} {'predictors':<16} {'wall':>6} {'CPU':>6} {'':>6}"
    )
    for steps, limit in LIMITS.items():
        profile = synthetic_profile(steps, samples)
        for metric, predictors in RUNS:
            begin, busy = time.perf_counter(), time.process_time()
            solve(profile, range(2, steps + 1), metric=metric, predictors=predictors)
            seconds, busy = time.perf_counter() - begin, time.process_time() - busy
            print(
                f"{steps:>4} {f'2-{steps}':>8} {metric:<13} {','.join(predictors):<16} "
                f"{seconds:>6.2f} {busy:>6.2f} {limit:>6.0f}"
            )


if __name__ == "__main__":
    main()
