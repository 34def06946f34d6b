"""Time ``solve`` for all budgets at T = 50 and T = 100, on one thread.

Run ``python benchmarks/planning.py``. The profiles are synthetic: smooth random velocities along
a shifted flow-matching grid, and an propagation that falls towards the end.
"""

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import argparse
import resource
import time
from typing import Any

import numpy as np
import torch

from meancache_plan.measure.profile import Profile, ProfileSettings, measure
from meancache_plan.plan.solve import solve

LIMITS = {50: 2.0, 100: 20.0}
"""Seconds that each number of steps T may take."""

MEMORY_LIMIT = 1024
"""MiB that the whole process may take, profile and libraries included."""

RUNS: tuple[dict[str, Any], ...] = (
    {"planner": "path", "predictors": ("hold", "adams"), "weighting": "propagated"},
    {"planner": "path", "predictors": ("hold", "adams"), "weighting": "displacement"},
    {"planner": "path", "predictors": ("hold", "adams"), "weighting": "none"},
    {"planner": "path", "predictors": ("hold", "adams"), "statistic": "cvar:0.9"},
    {"planner": "path", "predictors": ("hold", "fitted"), "order": 3},
    {"planner": "pssp", "predictors": ("hold", "jvp"), "metric": "l1", "weighting": "none"},
    {"planner": "pssp", "predictors": ("hold", "jvp", "adams"), "weighting": "propagated"},
    {"planner": "pssp", "predictors": ("released",), "metric": "l1", "weighting": "none"},
)


def synthetic_profile(steps: int, samples: int, numel: int = 64) -> Profile:
    """Measure ``samples`` smooth random trajectories of ``steps`` steps, two for each prompt."""
    t = np.linspace(1, 0, steps + 1)
    sigmas = tuple((3 * t / (1 + 2 * t)).tolist())
    settings = ProfileSettings(
        sigmas=sigmas,
        dtype="float32",
        latent_shape=(1, numel),
        max_edge=steps,
        max_window=6,
        samples_total=samples,
        propagation=True,
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
        prompt_index=numbers // 2,
        seeds=numbers % 2,
        grams=np.stack([sample.gram for sample in measured]),
        l1=np.stack([sample.l1 for sample in measured]),
        seconds=np.zeros(samples),
        moments=np.tile([0.0, 1.0], (samples, 1)),
        propagation_sigmas=np.array([sigmas[1], sigmas[steps // 2]]),
        propagation_index=numbers[:1],
        propagation=np.array([[16.0, 2.0]]),
    )


def peak_memory() -> float:
    """The most MiB that this process has taken so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=250, help="samples in a profile")
    samples = parser.parse_args().samples
    torch.set_num_threads(1)
    print(
        f"{samples} samples, one thread; all budgets from 2\n"
        "columns: seconds wall, CPU, allowed; peak MiB so far\n"
    )
    for steps, limit in LIMITS.items():
        profile = synthetic_profile(steps, samples)
        print(f"T = {steps}; {peak_memory():.0f} MiB before planning")
        for options in RUNS:
            begin, busy = time.perf_counter(), time.process_time()
            solve(profile, range(2, steps + 1), **options)
            seconds, busy = time.perf_counter() - begin, time.process_time() - busy
            name = " ".join(
                ",".join(value) if isinstance(value, tuple) else str(value)
                for value in options.values()
            )
            print(f"  {name:<46} {seconds:>6.2f} {busy:>6.2f} {limit:>4.0f} {peak_memory():>6.0f}")
    print(f"\npeak memory: {peak_memory():.0f} MiB of {MEMORY_LIMIT} allowed")


if __name__ == "__main__":
    main()
