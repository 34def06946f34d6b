"""A crew of Ray actors: workers that are replaced when they die, wherever the cluster has room.

Workers only answer; whatever is written is written by the process that asked.
"""

import logging
import os
import socket
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Generic, TypeVar

import ray
from ray.exceptions import RayActorError, RayError, RayTaskError

from meancache_plan.errors import InputError, MeanCacheError
from meancache_plan.files.difference import differences
from meancache_plan.fleet.crew import Begin, Change, Crew
from meancache_plan.fleet.tasks import TRIES, Tasks

T = TypeVar("T")
U = TypeVar("U")
R = TypeVar("R")

PAUSE = 5.0
"""Seconds after which the cluster is asked for its size again, if nothing else happens."""

STARTS, HEARD = -2, -1
"""In the place of a unit's number: its worker starts, or says that it is still there."""

PATIENCE = 20.0
"""Seconds in which whoever is at a cluster's address answers."""

Facts = dict[str, Any]
"""JSON values in which all workers must be alike."""


@dataclass(frozen=True, slots=True)
class Room:
    """What a worker is given.

    Attributes:
        gpus: Whole GPUs.
        threads: Threads of its libraries, and CPUs of the cluster where it has no GPU.
    """

    gpus: int
    threads: int = 1

    def times(self, cluster: Mapping[str, float]) -> int:
        """How many of these a cluster has."""
        if self.gpus:
            return int(cluster.get("GPU", 0)) // self.gpus
        return int(cluster.get("CPU", 0)) // self.threads

    def options(self) -> dict[str, Any]:
        """The same as an actor's options."""
        threads = {"OMP_NUM_THREADS": str(self.threads)}
        cpus = 1 if self.gpus else self.threads
        return {"num_gpus": self.gpus, "num_cpus": cpus, "runtime_env": {"env_vars": threads}}


class _Worker:
    """One actor: a thing, and what does the units of the work that is under way."""

    def start(self, make: Callable[[], Any], facts: Callable[[Any], Facts]) -> Any:
        """Make the thing, once; say what it is, whenever asked."""
        try:
            if not hasattr(self, "_thing"):
                self._thing = make()
            return facts(self._thing)
        except MeanCacheError as error:
            return error

    def do(self, number: int, begin: Begin[Any, Any, Any], unit: Any) -> Any:
        try:
            if number != getattr(self, "_number", None):
                self._work, self._number = begin(self._thing), number
            return list(self._work(unit))
        except MeanCacheError as error:
            return error


@dataclass(eq=False)
class RayCrew(Crew[T], Generic[T]):
    """Workers on a cluster that this process has joined: see :func:`joined`.

    A worker that dies, alone or with its node, is replaced, and its unit begun again; a unit whose
    workers keep dying, or that keeps failing, is given up, which is said once the others are done.
    Where as many units are given up as each is tried, and none is done, the work ends.

    Args:
        make: Makes a worker's thing, in its process.
        facts: What all workers must agree in, of their things.
        room: What a worker is given.
        workers: How many; by default all that the cluster has room for, also when it grows. Those
            that find no room wait for it, except for the first.
        tries: Times that a unit is begun.

    Raises:
        InputError: The cluster has no room for a single worker, none starts, or workers differ.
    """

    make: Callable[[], T]
    facts: Callable[[T], Facts]
    room: Room
    workers: int | None = None
    tries: int = TRIES
    _idle: list[Any] = field(default_factory=lambda: [], init=False)
    _under_way: dict[Any, tuple[Any, int]] = field(default_factory=lambda: {}, init=False)
    _known: Facts | None = field(default=None, init=False)
    _works: int = field(default=0, init=False)
    _stillborn: int = field(default=0, init=False)
    _why: str = field(default="", init=False)
    _asked: float = field(default=-PAUSE, init=False)
    _room_for: int = field(default=0, init=False)

    def do(self, begin: Begin[T, U, R], units: Sequence[U]) -> Iterator[tuple[int, R]]:
        """Do them."""
        tasks, shared = Tasks(len(units), self.tries), ray.put(begin)
        self._works += 1
        try:
            self._hear()
            while tasks.open and not tasks.hopeless:
                self._grow()
                while self._idle and tasks.waiting:
                    worker, unit = self._idle.pop(), tasks.take()
                    answer = worker.do.remote(self._works, shared, units[unit])
                    self._under_way[answer] = worker, unit
                answers, _ = ray.wait([*self._under_way], timeout=PAUSE)
                for answer in answers:
                    yield from self._settled(answer, tasks)
            if tasks.failed:
                raise InputError(_given_up(tasks, units))
        except BaseException:
            self._dismiss()
            raise

    @contextmanager
    def changed(self, change: Change[T]) -> "Generator[RayCrew[T]]":
        """Workers of their own, in the place of these, each with what the change makes."""
        self._dismiss()
        other = replace(self, make=partial(_entered, self.make, change))
        yield other
        other._dismiss()

    def _grow(self) -> None:
        """Ask for workers in the place of those that died, and for those that now have room."""
        if time.monotonic() - self._asked > PAUSE:
            self._room_for = self.room.times(ray.cluster_resources())
            self._asked = time.monotonic()
            if self._known is None and not self._room_for:
                raise InputError(_no_room(self.room))
        wanted = self.workers or self._room_for
        missing = wanted - len(self._idle) - len(self._under_way)
        if self._stillborn < self.tries * wanted:
            for _ in range(missing):
                actor: Any = ray.remote(_Worker)
                self._ask(actor.options(**self.room.options()).remote(), STARTS)
        if not self._idle and not self._under_way:
            stillborn = f"no worker starts: {self._why}"
            raise InputError(stillborn if self._stillborn else _no_room(self.room))

    def _ask(self, worker: Any, why: int) -> None:
        self._under_way[worker.start.remote(self.make, self.facts)] = worker, why

    def _hear(self) -> None:
        """Hear from idle workers before one gets a unit, which is not to blame for their death."""
        while self._idle:
            self._ask(self._idle.pop(), HEARD)

    def _dismiss(self) -> None:
        """Let all workers go, whatever they are at."""
        for worker in (*self._idle, *(worker for worker, _ in self._under_way.values())):
            ray.kill(worker)
        self._idle.clear()
        self._under_way.clear()

    def _settled(self, answer: Any, tasks: Tasks) -> Iterator[tuple[int, Any]]:
        """What came of a call: results, a worker that has started, or one that is lost."""
        worker, unit = self._under_way.pop(answer)
        try:
            value: Any = ray.get(answer)
        except RayError as error:
            self._lose(worker, unit, error, tasks)
            return
        self._idle.append(worker)
        if isinstance(value, MeanCacheError):
            raise value
        if unit in (STARTS, HEARD):
            self._stillborn = 0
            self._check(value)
            return
        for result in value:
            yield unit, result
        tasks.done(unit)

    def _lose(self, worker: Any, unit: int, error: RayError, tasks: Tasks) -> None:
        """Have a unit done again; who raised an error goes too, for what that left behind."""
        ray.kill(worker)
        if isinstance(error, RayActorError):
            self._hear()  # others may have died with it
        if unit == STARTS:
            self._stillborn, self._why = self._stillborn + 1, _reason(error)
        elif unit != HEARD:
            tasks.lost(unit, _reason(error))

    def _check(self, facts: Facts) -> None:
        self._known = self._known or facts
        for apart in differences(self._known, facts):
            raise InputError(
                f"the workers differ in their {apart.name} ({apart.there} and {apart.here}), on "
                "which every bit may depend: let only machines join that are alike"
            )


_OPEN = ExitStack()
"""What a worker's thing was changed by, which lasts as long as its process."""


def _entered(make: Callable[[], T], change: Change[T]) -> T:
    return _OPEN.enter_context(change(make()))


@contextmanager
def joined() -> Generator[None]:
    """Be part of a cluster: of ``RAY_ADDRESS``, or this machine's own, or one for the time being.

    At the end all workers go, and with them a cluster that was started here.

    Raises:
        InputError: There is no cluster at that address, or one of another version of Ray or Python.
    """
    _check_address(os.environ.get("RAY_ADDRESS", ""))
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:  # Ray's own are of any class
        place = os.environ.get("RAY_ADDRESS", "of this machine")
        reason = str(error).partition("\n")[0]
        raise InputError(f"--ray: the cluster {place} cannot be joined ({reason})") from error
    try:
        yield
    finally:
        ray.shutdown()


def _check_address(address: str) -> None:
    """Refuse an address at which nobody answers: Ray would try for minutes."""
    if address.startswith("ray://"):
        raise InputError(
            f"RAY_ADDRESS={address} is Ray Client's: run on a machine of the cluster, with the "
            "cluster's own address, such as HEAD:6379"
        )
    host, _, port = address.rpartition(":")
    if "://" in address or not (host and port.isdecimal()):
        return  # this machine's cluster, or what Ray refuses by name
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=PATIENCE).close()
    except (OSError, OverflowError, ValueError) as error:
        raise InputError(
            f"RAY_ADDRESS={address}: nobody answers there ({error}); start the cluster first, or "
            "leave it out to use this machine alone"
        ) from error


def gpus_of_cluster() -> int:
    """GPUs of all nodes that there are now."""
    return int(ray.cluster_resources().get("GPU", 0))


def _given_up(tasks: Tasks, units: Sequence[object]) -> str:
    """What has failed, and what became of the others."""
    shown = [f"{units[unit]} ({reason})" for unit, reason in sorted(tasks.failed.items())]
    more = f", and {len(shown) - 5} more" if len(shown) > 5 else ""
    others = "everything else is done and kept: run again to try these once more"
    return (
        f"given up after {tasks.tries} tries each: {'; '.join(shown[:5])}{more}; "
        f"{'nothing else was done: mend that, and run again' if tasks.open else others}"
    )


def _no_room(room: Room) -> str:
    kind, wanted = ("GPU", room.gpus) if room.gpus else ("CPU", room.threads)
    has = int(ray.cluster_resources().get(kind, 0))
    many = kind if wanted == 1 else f"{kind}s"
    return f"a worker takes {wanted} {many}, but the cluster has {has}: give fewer, or add nodes"


def _reason(error: RayError) -> str:
    """One line that says what became of a worker."""
    if isinstance(error, RayTaskError):
        error_of_work = error.cause
        return f"{type(error_of_work).__name__}: {error_of_work}".splitlines()[0][:200]
    if isinstance(error, RayActorError):
        return "its worker died"
    return type(error).__name__
