"""Work for workers on Ray that needs no model, and a command that has some done."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from meancache_plan.errors import InputError
from meancache_plan.fleet.on_ray import RayCrew, Room, joined
from tests.fleet.toy import Toy, calibrated

POISON, REFUSED, ERROR = "poison", "refused", "error"


def begin(folder: Path) -> Callable[[str], Iterable[str]]:
    """Give a unit back, in capitals; note in the folder that it was begun; or do as it says."""

    def work(unit: str) -> Iterable[str]:
        begun = folder / unit
        with begun.open("a") as stream:
            stream.write("x")
        if unit == POISON:
            os.kill(os.getpid(), signal.SIGKILL)
        if unit == REFUSED:
            raise InputError("this is refused")
        if unit == ERROR and len(begun.read_text()) == 1:
            raise RuntimeError("the first time")
        yield unit.upper()

    return work


def process(_: Path) -> dict[str, int]:
    """What no two workers agree in."""
    return {"device": os.getpid()}


def agreeing(_: Path) -> dict[str, int]:
    """What all workers agree in."""
    return {"device": 0}


def crew(folder: Path, workers: int) -> RayCrew[Path]:
    """Workers on the cluster that this process has joined."""
    return RayCrew(partial(Path, folder), agreeing, Room(gpus=0), workers)


def toys(workers: int | None = None, dies: Path | None = None) -> RayCrew[Toy]:
    """Workers whose samples take a moment."""
    make = partial(Toy, seconds=0.3, dies=dies)
    return RayCrew(make, Toy.versions, Room(gpus=0), workers)


if __name__ == "__main__":
    with joined():
        told = lambda done, _: print(done, flush=True)  # noqa: E731
        calibrated(toys(workers=int(sys.argv[2])), Path(sys.argv[1]), told)
