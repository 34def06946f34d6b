"""A crew does independent units of work, each with a thing of its own, such as a model."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Generic, TypeVar

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
U = TypeVar("U")
R = TypeVar("R")

Begin = Callable[[T], Callable[[U], Iterable[R]]]
"""Takes a worker's thing, once a worker; returns what does its units, each with any results."""

Change = Callable[[T], AbstractContextManager[T]]
"""Takes a worker's thing, and has another in its place for a while."""


class Crew(ABC, Generic[T_co]):
    """Workers with a thing each. Whatever is given to them or comes from them can be pickled."""

    @abstractmethod
    def do(self, begin: Begin[T_co, U, R], units: Sequence[U]) -> Iterator[tuple[int, R]]:
        """Do all units; give (place of the unit, a result of it) as results come, in any order.

        A unit's own results come in its order. A unit is called by its ``str`` in messages.

        Raises:
            MeanCacheError: What a unit raises ends the work; no unit is tried again for that.
        """
        ...

    @abstractmethod
    def changed(self, change: Change[Any]) -> AbstractContextManager["Crew[T_co]"]:
        """These workers, each with what a change makes of its thing, until this ends."""
        ...

    def in_order(self, begin: Begin[T_co, U, R], units: Sequence[U]) -> list[R]:
        """The results of units that have one each, in the order of the units."""
        found = dict(self.do(begin, units))
        return [found[place] for place in range(len(units))]

    def ask(self, question: Callable[[T_co], R]) -> R:
        """What any one of the workers answers."""
        [answer] = self.in_order(lambda thing: lambda _: [question(thing)], ["a question"])
        return answer


class Alone(Crew[T]):
    """This process: units are done in turn, and a result is given before the next is worked on."""

    def __init__(self, thing: T) -> None:
        self._thing = thing

    def do(self, begin: Begin[T, U, R], units: Sequence[U]) -> Iterator[tuple[int, R]]:
        """Do them."""
        work = begin(self._thing)
        for place, unit in enumerate(units):
            for result in work(unit):
                yield place, result

    @contextmanager
    def changed(self, change: Change[T]) -> "Generator[Alone[T]]":
        """This process, with what the change makes."""
        with change(self._thing) as other:
            yield Alone(other)


def crew_of(thing: T | Crew[T]) -> Crew[T]:
    """A crew as it is; anything else with this process to work with it."""
    return thing if isinstance(thing, Crew) else Alone(thing)


class Once(Generic[T, R]):
    """A function of a worker's thing, called once in a process; what it gave does not travel."""

    def __init__(self, function: Callable[[T], R]) -> None:
        self._function = function
        self._found: list[R] = []

    def __call__(self, thing: T) -> R:
        """What the function gave."""
        if not self._found:
            self._found.append(self._function(thing))
        return self._found[0]

    def __reduce__(self) -> Any:
        """Travel as the function alone."""
        return Once, (self._function,)
