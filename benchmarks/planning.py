"""Time ``solve`` for all budgets at T = 50 and T = 100, on one thread.

Run ``python -m benchmarks.planning``. The profiles are of a flow in closed form, on a shifted grid.
"""

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import argparse
import resource
import time
from typing import Any

import torch

from benchmarks.transfer import mixture
from meancache_plan import Profile, profile_flow, solve
from meancache_plan.core.grid import shifted_sigmas

LIMITS = {50: 2.0, 100: 20.0}
"""Seconds that each number of steps T may take."""

MEMORY_LIMIT = 1024
"""MiB that the whole process may take, profile and libraries included."""

PSSP: dict[str, Any] = {"planner": "pssp"}
L1: dict[str, Any] = {"metric": "l1", "weighting": "none"}

RUNS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "defaults, not compensated": {"compensate": False},
    "path hold,adams propagated": {"predictors": ("hold", "adams")},
    "path hold,adams width": {"predictors": ("hold", "adams"), "weighting": "width"},
    "path hold,adams none": {"predictors": ("hold", "adams"), "weighting": "none"},
    "path hold,adams cvar:0.9": {"predictors": ("hold", "adams"), "statistic": "cvar:0.9"},
    "path hold,fitted 3": {"predictors": ("hold", "fitted"), "order": 3},
    "pssp hold,jvp l1 none": PSSP | L1 | {"predictors": ("hold", "jvp")},
    "pssp hold,jvp,adams propagated": PSSP | {"predictors": ("hold", "jvp", "adams")},
    "pssp released l1 none": PSSP | L1 | {"predictors": ("released",)},
}
"""Options of ``solve``."""


def flow_profile(steps: int, samples: int, numel: int = 64) -> Profile:
    """Of ``samples`` trajectories of ``steps`` steps, with how errors propagate along them."""
    noise = torch.randn(samples, numel, generator=torch.Generator().manual_seed(0)).double()
    return profile_flow(mixture(numel), noise, shifted_sigmas(steps, 3.0))


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
        profile = flow_profile(steps, samples)
        print(f"T = {steps}; {peak_memory():.0f} MiB before planning")
        for name, options in RUNS.items():
            begin, busy = time.perf_counter(), time.process_time()
            solve(profile, range(2, steps + 1), **options)
            seconds, busy = time.perf_counter() - begin, time.process_time() - busy
            print(f"  {name:<46} {seconds:>6.2f} {busy:>6.2f} {limit:>4.0f} {peak_memory():>6.0f}")
    print(f"\npeak memory: {peak_memory():.0f} MiB of {MEMORY_LIMIT} allowed")


if __name__ == "__main__":
    main()
