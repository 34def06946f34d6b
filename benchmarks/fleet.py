"""What workers on Ray cost, how busy a fleet of them is, and whether they measure the same.

    python -m benchmarks.fleet [--seconds 1.0] [--samples 40]
    python -m benchmarks.fleet --simulate
    python -m benchmarks.fleet --kills 50

The first has two workers do samples that only wait, so that what is beyond the wait is the
engine's. The second runs no worker: it gives the same queue drawn times of samples and deaths of
workers. Until the last sample is done a fleet is busy for less than while samples wait, as none is
divided. The third has two workers calibrate the reference pipeline, kills the command at drawn
moments, and has it go on; the profile is to be the one that is made without workers, byte for byte
but for the measured seconds.
"""

import argparse
import heapq
import itertools
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from benchmarks.bars import MISSED, met
from meancache_plan.fleet.tasks import Tasks
from meancache_plan.measure.profile import load_profile, save_profile

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
    from meancache_plan.fleet.on_ray import RayCrew, joined
    from meancache_plan.fleet.room import Room

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


def unlike(kills: int, folder: Path) -> int:
    """How many profiles of two workers, killed at drawn moments, are unlike one process's."""
    (folder / "prompts.txt").write_text("two red squares\na blue disc\n")
    command = [*(sys.executable, "-m", "meancache_plan", "calibrate", "reference"),
               *("--steps", "8", "--prompts", "prompts.txt", "--seeds", "0-2", "-o")]  # fmt: skip
    ours, divided = folder / "ours", ("--ray", "--workers", "2", "--gpus-per-worker", "0")
    begun = partial(subprocess.Popen[bytes], cwd=folder, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert begun([*command, "alone", "--device", "cpu"]).wait() == 0
    alone, drawn, found, lasts = timeless(folder / "alone"), random.Random(0), 0, 0.0
    for share in (None, *(drawn.random() for _ in range(kills)), None):
        begin, running = time.perf_counter(), begun([*command, ours.name, *divided])
        with suppress(subprocess.TimeoutExpired):
            assert running.wait(None if share is None else share * lasts) == 0
            lasts = lasts or time.perf_counter() - begin
        running.kill()
        running.wait()
        if ours.exists():
            found += timeless(ours) != alone
            ours.unlink()
    return found


def timeless(path: Path) -> bytes:
    """A profile's bytes, but for the measured seconds."""
    profile = load_profile(path)
    save_profile(replace(profile, seconds=0 * profile.seconds), path)
    return path.read_bytes()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--samples", type=int, default=40)
    parser.add_argument("--simulate", action="store_true")
    parser.add_argument("--kills", type=int)
    options = parser.parse_args()
    if options.kills is not None:
        with TemporaryDirectory() as folder:
            number = unlike(options.kills, Path(folder))
        sys.exit(0 if met("profiles unlike one process's", number, not number, "none") else MISSED)
    if options.simulate:
        sys.exit(0 if simulated() else MISSED)
    share = overhead(options.seconds, options.samples)
    beyond = f"% that Ray adds to samples of {options.seconds:g} s"
    good = met(beyond, 100 * share, share <= OVERHEAD, f"at most {100 * OVERHEAD:g}")
    sys.exit(0 if good else MISSED)


if __name__ == "__main__":
    main()
