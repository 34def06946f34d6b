"""The predictors that a plan may name: how a file says them, and how far each looks back."""

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from .errors import ScheduleError
from .grid import MAX_STEPS
from .strict_json import quote, read_integer, read_list, read_number, read_object

MAX_ORDER = 4


@dataclass(frozen=True, slots=True)
class Hold:
    """û = v_t: the knot's velocity, unchanged."""

    name: ClassVar[str] = "hold"

    @classmethod
    def read(cls, value: Any, where: str) -> "Hold":
        """What a file says. Raises ScheduleError."""
        read_object(value, where, ("predictor",))
        return cls()

    def check(self, where: str, start: int, known: int) -> None:
        """It never looks back."""

    def since_start(self, knot: int, known: int) -> "Predictor":
        """It stays as it is."""
        return self


@dataclass(frozen=True, slots=True)
class Jvp:
    """The paper's predictor over the last ``window`` steps (K)."""

    name: ClassVar[str] = "jvp"
    window: int

    @classmethod
    def read(cls, value: Any, where: str) -> "Jvp":
        """What a file says. Raises ScheduleError."""
        return cls(_reach(value, where, "window"))

    def check(self, where: str, start: int, known: int) -> None:
        """Refuse to look back to before the run. Raises ScheduleError."""
        _check_reach(self.window, f"{where}.window", start)

    def since_start(self, knot: int, known: int) -> "Predictor":
        """Itself, or holding where its window reaches to before the run."""
        return Hold() if self.window > knot else self


@dataclass(frozen=True, slots=True)
class Released:
    """The rule of MeanCache's released scripts, step by step over the last ``span`` steps (K)."""

    name: ClassVar[str] = "released"
    span: int

    @classmethod
    def read(cls, value: Any, where: str) -> "Released":
        """What a file says. Raises ScheduleError."""
        return cls(_reach(value, where, "span"))

    def check(self, where: str, start: int, known: int) -> None:
        """Refuse to look back to before the run. Raises ScheduleError."""
        _check_reach(self.span, f"{where}.span", start + 1)

    def since_start(self, knot: int, known: int) -> "Predictor":
        """Itself, or holding where its span reaches to before the run."""
        return Hold() if self.span > knot + 1 else self


@dataclass(frozen=True, slots=True)
class Adams:
    """Adams–Bashforth over the last ``len(gains)`` knots, each term scaled by its gain."""

    name: ClassVar[str] = "adams"
    gains: tuple[float, ...]

    @classmethod
    def read(cls, value: Any, where: str) -> "Adams":
        """What a file says. Raises ScheduleError."""
        got = read_object(value, where, ("predictor", "order", "gains"))
        order = read_integer(got["order"], f"{where}.order", 1, MAX_ORDER)
        entries = read_list(got["gains"], f"{where}.gains", MAX_ORDER)
        if len(entries) != order:
            raise ScheduleError(f"{where}.gains: {len(entries)} given; order {order} needs {order}")
        gains = (read_number(g, f"{where}.gains[{i}]", -1e6, 1e6) for i, g in enumerate(entries))
        return cls(tuple(gains))

    def check(self, where: str, start: int, known: int) -> None:
        """Refuse an order of more knots than are known. Raises ScheduleError."""
        if (order := len(self.gains)) > known:
            raise ScheduleError(
                f"{where}.order: order {order} needs {order} knots, {known} are known"
            )

    def since_start(self, knot: int, known: int) -> "Predictor":
        """The gains for the knots that are known."""
        return Adams(self.gains[:known])


Predictor = Hold | Jvp | Released | Adams
"""A rule for û(t→s), named, as files name it, by its ``name``; it has:

- ``read(value, where)``: from a file's value, found at ``where``;
- ``check(where, start, known)``: whether it fits the ``known``-th interval, which starts at step
  ``start``;
- ``since_start(knot, known)``: what is left of it where a run begins late, in the ``known``-th
  interval of what is left, which starts ``knot`` steps after.
"""

KINDS: dict[str, type[Predictor]] = {kind.name: kind for kind in (Hold, Jvp, Released, Adams)}
"""By the names that files have."""


def read_predictor(value: Any, where: str, known: int, start: int) -> Predictor:
    """The value of an interval that starts at step ``start``, the ``known``-th knot's.

    Raises:
        ScheduleError: It is no predictor, or looks back further than the run.
    """
    if not isinstance(value, dict):
        raise ScheduleError(f"{where}: must be an object")
    if "predictor" not in value:
        raise ScheduleError(f'{where}: "predictor" is missing')
    name = value["predictor"]
    if not isinstance(name, str) or name not in KINDS:
        raise ScheduleError(f"{where}: unknown predictor {quote(name)}")
    found = KINDS[name].read(value, where)
    found.check(where, start, known)
    return found


def _reach(value: Any, where: str, key: str) -> int:
    """The one other key of an interval: how many steps it looks back."""
    got = read_object(value, where, ("predictor", key))
    return read_integer(got[key], f"{where}.{key}", 1, MAX_STEPS)


def _check_reach(reach: int, where: str, step: int) -> None:
    if reach > step:
        raise ScheduleError(f"{where}: reaches {reach} steps back from step {step}")


def written(predictor: Predictor) -> dict[str, Any]:
    """What stands in a file for a predictor: its name, and its fields."""
    order = {"order": len(predictor.gains)} if isinstance(predictor, Adams) else {}
    return {"predictor": predictor.name, **order, **asdict(predictor)}
