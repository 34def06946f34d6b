"""What workers on Ray cost, how busy a fleet of them is, and whether they measure the same.

    python -m benchmarks.fleet [--seconds 1.0] [--samples 40]
    python -m benchmarks.fleet --simulate
    python -m benchmarks.fleet --kills 50

The first has two workers do samples that only wait, so that what is beyond the wait is the
engine's. The second runs no worker: it gives the same queue drawn times of samples and deaths of
workers. Until the last sample is done a fleet is busy for less than while samples wait, as none is
divided. The third has two workers calibrate a source without a model, whose samples take a moment,
kills the process that asks them at drawn moments of its work (``kill -9``), and starts it again;
each profile that is finished is to be the one that is made without workers, byte for byte. If it
ends before it is killed, that is no kill, and another moment is drawn. The cluster stays meanwhile,
as a command's own would only take time to start.
"""

import argparse
import heapq
import itertools
import multiprocessing
import os
import random
import sys
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.context import ForkProcess
from pathlib import Path
from signal import SIGKILL
from tempfile import TemporaryDirectory
from typing import NamedTuple

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.bars import MISSED, met
from meancache_plan.fleet.tasks import Tasks
from tests.fleet import toy

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


class Resumed(NamedTuple):
    """Profiles that were finished by commands of which some were killed, and those unlike."""

    finished: int
    unlike: int


def resumed(kills: int, folder: Path) -> Resumed:
    """Have two workers calibrate again and again, and kill the process that asks them."""
    os.environ["RAY_AUTH_MODE"] = "token"  # as a cluster of a command's own has it
    import meancache_plan.fleet.on_ray  # noqa: F401, for all that are forked

    torch.set_num_threads(1)
    ours, alone = folder / "ours", toy.calibrated(toy.Toy(), folder / "alone")
    found = Resumed(0, 0)
    with forked(keeping) as cluster:
        os.environ["RAY_ADDRESS"] = cluster.told.recv()
        for _ in ended(ours, kills):
            if ours.exists():
                unlike = ours.read_bytes() != alone
                found = Resumed(found.finished + 1, found.unlike + unlike)
                ours.unlink()
    return found


def ended(path: Path, kills: int) -> Iterator[None]:
    """Calibrate until so many were killed, and once more; give each that has ended in any way."""
    drawn = random.Random(0)
    for dies in track([*[True] * kills, False], "killing", console=Console(stderr=True)):
        code = None
        while code != (-SIGKILL if dies else 0):
            with forked(calibrating, path) as asking:
                if dies:
                    await_moment(asking.told, drawn)
                    asking.process.kill()
                asking.process.join()
            code = asking.process.exitcode
            assert code == 0 or (dies and code == -SIGKILL)
            yield


class Forked(NamedTuple):
    """A process, and what it is told and tells."""

    process: ForkProcess
    told: Connection


@contextmanager
def forked(work: Callable[..., None], *given: object) -> Generator[Forked]:
    """A process that has imported what this one has, which takes longer than the work."""
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    process = context.Process(target=begun, args=(work, given, there, here))
    process.start()
    there.close()
    try:
        yield Forked(process, here)
    finally:
        here.close()
        process.join()


def begun(
    work: Callable[..., None], given: tuple[object, ...], told: Connection, other: Connection
) -> None:
    """Do it, without the other end."""
    other.close()
    work(*given, told)


def keeping(told: Connection) -> None:
    """Keep a cluster, at the address that is sent, until nobody listens."""
    from meancache_plan.fleet.on_ray import joined

    with joined() as address:
        told.send(address)
        with suppress(EOFError):
            told.recv()


def calibrating(path: Path, told: Connection) -> None:
    """Have two workers calibrate, and send how many samples are done."""
    from meancache_plan.fleet.on_ray import joined

    with joined():
        toy.calibrated(toy.toys(2), path, lambda done, _: told.send(done))


def await_moment(told: Connection, drawn: random.Random) -> None:
    """Wait until a drawn number of the samples that are left are done, and part of another."""
    done = told.recv()
    last = drawn.randint(done, len(toy.PROMPTS) * len(toy.SEEDS))
    while done < last:
        done = told.recv()
    time.sleep(drawn.uniform(0, toy.SECONDS))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--samples", type=int, default=40)
    parser.add_argument("--simulate", action="store_true")
    parser.add_argument("--kills", type=int)
    options = parser.parse_args()
    if options.kills is not None:
        with TemporaryDirectory() as folder:
            found = resumed(options.kills, Path(folder))
        print(f"{options.kills} kills, {found.finished} profiles")
        good = met("profiles unlike one process's", found.unlike, not found.unlike, "none")
        sys.exit(0 if good else MISSED)
    if options.simulate:
        sys.exit(0 if simulated() else MISSED)
    share = overhead(options.seconds, options.samples)
    beyond = f"% that Ray adds to samples of {options.seconds:g} s"
    good = met(beyond, 100 * share, share <= OVERHEAD, f"at most {100 * OVERHEAD:g}")
    sys.exit(0 if good else MISSED)


if __name__ == "__main__":
    main()
