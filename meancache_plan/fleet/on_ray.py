"""A crew of Ray actors: workers that are replaced when they die, wherever the cluster has room.

Workers only answer; whatever is written is written by the process that asked.
"""

import logging
import os
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, count
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import ray
from ray._private.services import find_bootstrap_address
from ray.exceptions import RayActorError, RayError, RayTaskError
from ray.util import get_node_ip_address, placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from meancache_plan.errors import InputError, MeanCacheError
from meancache_plan.files.differing_settings import differences
from meancache_plan.fleet.address import check_address
from meancache_plan.fleet.calls import HEARD, PATIENCE, STARTS, WAITS, Call, Calls
from meancache_plan.fleet.crew import Begin, Change, Crew
from meancache_plan.fleet.member import Changes, Facts, Member
from meancache_plan.fleet.room import Machine, Room
from meancache_plan.fleet.tasks import SILENCE, TRIES, Tasks

if TYPE_CHECKING:
    from meancache_plan.fleet.gang import Meeting, Seat

T = TypeVar("T")
U = TypeVar("U")
R = TypeVar("R")

PAUSE = 5.0
"""Seconds after which the cluster is asked for its size again, if nothing else happens."""


class _Worker:
    """An actor, or a gang of them that are one worker: they start, work and end together."""

    def __init__(self, room: Room, seats: "Sequence[Seat | None]", strategy: str) -> None:
        self._group: Any = None
        places: list[dict[str, Any]] = [{}]
        if room.gang > 1:
            self._group = placement_group([room.share] * room.gang, strategy)
            at = [PlacementGroupSchedulingStrategy(self._group, i) for i in range(room.gang)]
            places = [{"scheduling_strategy": each} for each in at]
        actor: Any = ray.remote(Member)
        self._members = [
            actor.options(**room.options(), **place).remote(seat)
            for seat, place in zip(seats, places, strict=True)
        ]

    def settle(self) -> list[Any]:
        """Have all find their room; what stands for their answers."""
        return [member.__ray_ready__.remote() for member in self._members]

    def start(self, *arguments: Any) -> list[Any]:
        """Have all do :meth:`Member.start`; what stands for their answers."""
        return [member.start.remote(*arguments) for member in self._members]

    def do(self, *arguments: Any) -> list[Any]:
        """Have all do :meth:`Member.do`; what stands for their answers."""
        return [member.do.remote(*arguments) for member in self._members]

    def end(self) -> None:
        """Let it go, whatever it is at."""
        for member in self._members:
            ray.kill(member)
        if self._group is not None:
            remove_placement_group(self._group)


@dataclass(eq=False)
class RayCrew(Crew[T], Generic[T]):
    """Workers on a cluster that this process has joined: see :func:`joined`.

    A worker that dies, alone or with its node, or that hangs, at its start too, is replaced, and
    its unit begun again; a unit whose workers keep dying, or that keeps failing, is given up, which
    is said once the others are done. Where as many units are given up as each is tried, and none is
    done, the work ends. A gang is one worker: where a member dies, so do the others.

    Args:
        make: Makes a worker's thing, in its process; in a gang, each member makes its own.
        facts: What all workers must agree in, of their things.
        room: What a worker is given.
        workers: How many; by default all that the cluster has room for, also when it grows. Those
            that find no room wait for it, except for the first.
        tries: Times that a unit is begun.
        silence: Seconds in which no worker is taken to hang: see :meth:`Tasks.late`.
        patience: Seconds after which a worker that starts is taken to hang.

    Raises:
        InputError: The cluster has no room for a single worker, none starts, or workers differ.
    """

    make: Callable[[], T]
    facts: Callable[[T], Facts]
    room: Room
    workers: int | None = None
    tries: int = TRIES
    silence: float = SILENCE
    patience: float = PATIENCE
    _all: list[_Worker] = field(default_factory=lambda: [], init=False)
    _idle: list[_Worker] = field(default_factory=lambda: [], init=False)
    _calls: Calls[_Worker] = field(default_factory=lambda: Calls(), init=False)
    _changes: Changes = field(default=Changes(), init=False)
    _known: dict[int, Facts] = field(default_factory=lambda: {}, init=False)
    _numbers: Iterator[int] = field(default_factory=lambda: count(1), init=False)
    _stillborn: int = field(default=0, init=False)
    _why: str = field(default="", init=False)
    _asked: float = field(default=-PAUSE, init=False)
    _machines: list[Machine] = field(default_factory=lambda: [], init=False)

    def do(self, begin: Begin[T, U, R], units: Sequence[U]) -> Iterator[tuple[int, R]]:
        """Do them."""
        tasks, shared = Tasks(len(units), self.tries), ray.put(begin)
        number = next(self._numbers)
        try:
            self._hear()
            while tasks.open and not tasks.hopeless:
                self._grow()
                while self._idle and tasks.waiting:
                    worker, unit = self._idle.pop(), tasks.take()
                    self._expect(worker, unit, worker.do(number, shared, units[unit]))
                answers, _ = ray.wait(self._calls.answers, timeout=PAUSE)
                for answer in answers:
                    yield from self._settled(answer, tasks)
                self._replace_hung(tasks)
            if tasks.failed:
                raise InputError(tasks.given_up(units))
        except BaseException:
            self.dismiss()
            raise

    def dismiss(self) -> None:
        """Let all workers go, whatever they are at; there will be others for the next work."""
        for worker in self._all:
            worker.end()
        self._all.clear()
        self._idle.clear()
        self._calls.clear()
        self._stillborn = 0

    @contextmanager
    def changed(self, change: Change[T]) -> "Generator[RayCrew[T]]":
        """These workers, each with what the change makes; loaded things stay loaded."""
        outer = self._changes
        self._changes = Changes(next(self._numbers), (*outer.all, change))
        try:
            yield self
        finally:
            self._changes = outer

    def _grow(self) -> None:
        """Ask for workers in the place of those that died, and for those that now have room."""
        if time.monotonic() - self._asked > PAUSE:
            self._machines = [each["Resources"] for each in ray.nodes() if each["Alive"]]
            self._asked = time.monotonic()
            if not self._known and not self.room.times(self._machines):
                raise InputError(self.room.missing(self._machines))
        wanted = self.workers or self.room.times(self._machines)
        if self._stillborn < self.tries * wanted:
            for _ in range(wanted - len(self._all)):
                self._all.append(self._hired())
                self._expect(self._all[-1], WAITS, self._all[-1].settle())
        if not self._all:
            stillborn = f"no worker starts: {self._why}; what they print is in Ray's logs"
            raise InputError(stillborn if self._stillborn else self.room.missing(self._machines))

    def _hired(self) -> _Worker:
        """A worker that has yet to find its room and to start."""
        if self.room.gang == 1:
            return _Worker(self.room, [None], "")
        seats = self._meeting.seats(self.room.gang, "nccl" if self.room.gpus else "gloo")
        within = any(self.room.holds(each) for each in self._machines)
        return _Worker(self.room, seats, "STRICT_PACK" if within else "PACK")

    @cached_property
    def _meeting(self) -> "Meeting":
        from meancache_plan.fleet.gang import Meeting  # torch's, which others do without

        return Meeting(get_node_ip_address())

    def _ask(self, worker: _Worker, why: int) -> None:
        self._expect(worker, why, worker.start(self.make, self.facts, self._changes))

    def _expect(self, worker: _Worker, unit: int, answers: Sequence[Any]) -> None:
        self._calls.add(worker, unit, self._changes.number, answers)

    def _hear(self) -> None:
        """Hear from idle workers before one gets a unit, which is not to blame for their death."""
        while self._idle:
            self._ask(self._idle.pop(), HEARD)

    def _settled(self, answer: Any, tasks: Tasks) -> Iterator[tuple[int, Any]]:
        """What came of a call: results, a worker that has started, or one that is lost."""
        call = self._calls.answered(answer)
        try:
            value: Any = ray.get(answer)
        except RayError as error:
            self._lose(call, _reason(error), tasks)
            return
        if isinstance(value, MeanCacheError):
            raise value
        call.values.append(value)
        if call.awaited:
            return
        if call.unit >= 0:
            self._idle.append(call.worker)
            for result in chain(*call.values):
                yield call.unit, result
            tasks.done(call.unit)
        elif call.unit == WAITS or call.changes != self._changes.number:
            self._ask(call.worker, STARTS)
        else:
            self._known_alike(call)

    def _known_alike(self, call: Call[_Worker]) -> None:
        """Have who started do units, if it is as the others are."""
        self._idle.append(call.worker)
        if call.unit == STARTS:
            self._stillborn = 0
        for facts in call.values:
            self._check(facts)

    def _replace_hung(self, tasks: Tasks) -> None:
        """Have others in the place of those who take so long that they must hang."""
        late = self._calls.lasting(tasks.late(self.silence), self.patience)
        answers = {answer: call for call in late for answer in call.awaited}
        _, hung = ray.wait([*answers], num_returns=len(answers), timeout=0) if late else ([], [])
        for call in {answers[answer] for answer in hung}:
            starting = f"still loading after {self.patience / 60:g} minutes"
            self._lose(call, "its worker hung" if call.unit >= 0 else starting, tasks)

    def _lose(self, call: Call[_Worker], reason: str, tasks: Tasks) -> None:
        """Have a unit done again; who raised an error goes too, for what that left behind."""
        call.worker.end()
        self._all.remove(call.worker)
        self._calls.drop(call)
        self._hear()  # others may have died with it
        if call.unit in (WAITS, STARTS):
            self._stillborn, self._why = self._stillborn + 1, reason
        elif call.unit != HEARD:
            tasks.lost(call.unit, reason)

    def _check(self, facts: Facts) -> None:
        known = self._known.setdefault(self._changes.number, facts)
        for apart in differences(known, facts):
            raise InputError(
                f"the workers differ in their {apart.name} ({apart.there} and {apart.here}), on "
                "which every bit may depend: let only machines join that are alike"
            )


@contextmanager
def joined() -> Generator[str]:
    """Be part of a cluster: of ``RAY_ADDRESS``, or this machine's own, or one for the time being.

    ``RAY_ADDRESS=local`` is always one for the time being. Gives the cluster's address.

    At the end all workers go, and with them a cluster that was started here.

    Raises:
        InputError: There is no cluster at that address, or where Ray has noted this machine's own,
            or it is one of another version of Ray or Python.
    """
    told = os.environ.get("RAY_ADDRESS", "")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        check_address(told, find_bootstrap_address(None))
        ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    except InputError:
        raise
    except Exception as error:  # Ray's own are of any class
        place, reason = told or "of this machine", str(error).partition("\n")[0]
        raise InputError(f"--ray: the cluster {place} cannot be joined ({reason})") from error
    try:
        yield ray.get_runtime_context().gcs_address
    finally:
        ray.shutdown()


def gpus_of_cluster() -> int:
    """GPUs of all nodes that there are now."""
    return int(ray.cluster_resources().get("GPU", 0))


def _reason(error: RayError) -> str:
    """One line that says what became of a worker."""
    if isinstance(error, RayTaskError):
        error_of_work = error.cause
        return f"{type(error_of_work).__name__}: {error_of_work}".splitlines()[0][:200]
    if isinstance(error, RayActorError):
        return "its worker died"
    return type(error).__name__
