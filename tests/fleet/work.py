"""Work for workers on Ray that needs no model, and a command that has some done."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from unittest.mock import patch

from ray._private import services

from meancache_plan.errors import InputError
from meancache_plan.fleet.on_ray import RayCrew, joined
from meancache_plan.fleet.room import Room

POISON, REFUSED, ERROR, HANGS = "poison", "refused", "error", "hangs"


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
        if unit == HANGS and len(begun.read_text()) == 1:
            time.sleep(600)
        yield unit.upper()

    return work


def process(_: Path) -> dict[str, int]:
    """What no two workers agree in."""
    return {"device": os.getpid()}


def agreeing(_: Path) -> dict[str, int]:
    """What all workers agree in."""
    return {"device": 0}


def crew(folder: Path, workers: int, tries: int = 3) -> RayCrew[Path]:
    """Workers on the cluster that this process has joined; one that hangs is found out soon."""
    return RayCrew(partial(Path, folder), agreeing, Room(gpus=0), workers, tries, silence=10)


@contextmanager
def inner(folder: Path) -> Generator[Path]:
    """A change: the folder within."""
    yield folder / "inner"


def pid(_: Path) -> Callable[[str], Iterable[int]]:
    """Give the number of the worker's process."""
    return lambda _: [os.getpid()]


def endless(_: Path) -> Callable[[int], Iterable[int]]:
    """Give a number back; from two on, never."""

    def work(unit: int) -> Iterable[int]:
        time.sleep(0 if unit < 2 else 600)
        yield unit

    return work


@contextmanager
def patience() -> Generator[None]:
    """Wait for nodes that are starting longer than Ray does: the machine may be busy."""
    found = services.get_node

    def get(*wanted: object) -> object:
        until = time.monotonic() + 300
        while time.monotonic() < until:
            try:
                return found(*wanted)
            except RuntimeError:
                time.sleep(0.2)
        return found(*wanted)

    with patch.object(services, "get_node", get):
        yield


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    with patience(), joined():
        for _, number in crew(Path(sys.argv[1]), workers=2).do(endless, range(9)):
            print(number, flush=True)
