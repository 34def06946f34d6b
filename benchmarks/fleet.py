"""What workers on Ray cost, and how busy a fleet of them is.

    python -m benchmarks.fleet [--seconds 1.0] [--samples 40]
    python -m benchmarks.fleet --simulate

The first has two workers do samples that only wait, so that what is beyond the wait is the
engine's. The second runs no worker: it gives the same queue drawn times of samples and deaths of
workers. Until the last sample is done a fleet is busy for less than while samples wait, as none is
divided.
"""

import argparse
import heapq
import itertools
import random
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from benchmarks.bars import MISSED, met
from meancache_plan.fleet.tasks import Tasks

OVERHEAD, BUSY = 0.05, 0.95
SPREAD = 0.1
"""Standard deviation of the logarithm of a sample's seconds."""

DEATHS = 1 / 200
"""Deaths of a worker a second, where a sample takes one; its successor starts in as long again."""


def waiting(_: float) -> Callable[[float], Iterator[float]]:
    """Work that only waits."""

    def wait(seconds: float) -> Iterator[float]:
        time.sleep(seconds)
        yield seconds

    return wait


def overhead(seconds: float, samples: int) -> float:
    """The share of a sample that two workers on this machine spend beyond its own work."""
    from meancache_plan.fleet.on_ray import RayCrew, Room, joined

    with joined():
        crew = RayCrew(partial(float, 0), lambda _: {}, Room(gpus=0), workers=2)
        crew.in_order(waiting, [0.0] * 20)  # both have started
        begin = time.perf_counter()
        crew.in_order(waiting, [seconds] * samples)
        return (time.perf_counter() - begin) / (seconds * samples / 2) - 1


class Busy(NamedTuple):
    """The shares of the time that a fleet's workers spend on samples, and how many of them die."""

    while_samples_wait: float
    until_all_are_done: float
    deaths: int


def busy(workers: int, samples: int, seed: int) -> Busy:
    """Draw the seconds of samples and the deaths of workers, and let the queue decide the rest."""
    drawn, tasks = random.Random(seed), Tasks(samples)
    lasts = [drawn.lognormvariate(0, SPREAD) for _ in range(samples)]
    events = [(0.0, worker, -1) for worker in range(workers)]
    now, drained, worked, lost = 0.0, 0.0, 0.0, 0
    while tasks.open:
        now, worker, unit = heapq.heappop(events)
        if unit >= 0:
            tasks.done(unit)
        if not tasks.waiting:
            continue
        unit, dies = tasks.take(), drawn.expovariate(DEATHS)
        if dies < lasts[unit]:
            lost += 1
            tasks.lost(unit, "drawn")
            heapq.heappush(events, (now + dies + 1, worker, -1))
            continue
        heapq.heappush(events, (now + lasts[unit], worker, unit))
        if not tasks.waiting:
            drained = now
            worked = sum(lasts) - sum(end - now for end, _, unit in events if unit >= 0)
    assert not tasks.failed, "a sample was given up"
    return Busy(worked / (workers * drained), sum(lasts) / (workers * now), lost)


def simulated() -> bool:
    """Print how busy fleets are; whether all are busy enough while samples wait."""
    table = Table("workers", "samples", "deaths", "busy while samples wait", "until all are done")
    least = 1.0
    for workers, times in itertools.product((64, 512), (10, 20, 40)):
        found = busy(workers, times * workers, seed=workers)
        least = min(least, found.while_samples_wait)
        shares = (found.while_samples_wait, found.until_all_are_done)
        told = (workers, times * workers, found.deaths, *(f"{share:.3f}" for share in shares))
        table.add_row(*map(str, told))
    Console().print(table)
    return met("least share while samples wait", least, least >= BUSY, f"at least {BUSY}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--samples", type=int, default=40)
    parser.add_argument("--simulate", action="store_true")
    options = parser.parse_args()
    if options.simulate:
        sys.exit(0 if simulated() else MISSED)
    share = overhead(options.seconds, options.samples)
    beyond = f"% that Ray adds to samples of {options.seconds:g} s"
    good = met(beyond, 100 * share, share <= OVERHEAD, f"at most {100 * OVERHEAD:g}")
    sys.exit(0 if good else MISSED)


if __name__ == "__main__":
    main()
