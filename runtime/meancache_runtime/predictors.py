"""The predictors that a plan may name, and how a file says them."""

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


@dataclass(frozen=True, slots=True)
class Jvp:
    """The paper's predictor over the last ``window`` steps (K)."""

    name: ClassVar[str] = "jvp"
    window: int


@dataclass(frozen=True, slots=True)
class Released:
    """The rule of MeanCache's released scripts, step by step over the last ``span`` steps (K)."""

    name: ClassVar[str] = "released"
    span: int


@dataclass(frozen=True, slots=True)
class Adams:
    """Adams–Bashforth over the last ``len(gains)`` knots, each term scaled by its gain."""

    name: ClassVar[str] = "adams"
    gains: tuple[float, ...]


Predictor = Hold | Jvp | Released | Adams
"""Each is named, as files name it, by its ``name``."""


def read_predictor(value: Any, where: str, known: int, start: int) -> Predictor:
    """The value of an interval that starts at step ``start``, the ``known``-th knot's.

    Raises:
        ScheduleError: It is no predictor, or looks back further than the run.
    """
    if not isinstance(value, dict):
        raise ScheduleError(f"{where}: must be an object")
    if "predictor" not in value:
        raise ScheduleError(f'{where}: "predictor" is missing')
    match value["predictor"]:
        case Hold.name:
            read_object(value, where, ("predictor",))
            return Hold()
        case Jvp.name:
            return Jvp(_reach(value, where, "window", start))
        case Released.name:
            return Released(_reach(value, where, "span", start + 1))
        case Adams.name:
            return _adams(value, where, known)
        case name:
            raise ScheduleError(f"{where}: unknown predictor {quote(name)}")


def _reach(value: Any, where: str, key: str, step: int) -> int:
    """The one other key of an interval: how many steps it looks back from ``step``."""
    got = read_object(value, where, ("predictor", key))
    reach = read_integer(got[key], f"{where}.{key}", 1, MAX_STEPS)
    if reach > step:
        raise ScheduleError(f"{where}.{key}: reaches {reach} steps back from step {step}")
    return reach


def _adams(value: Any, where: str, known: int) -> Adams:
    got = read_object(value, where, ("predictor", "order", "gains"))
    order = read_integer(got["order"], f"{where}.order", 1, MAX_ORDER)
    if order > known:
        raise ScheduleError(f"{where}.order: order {order} needs {order} knots, {known} are known")
    entries = read_list(got["gains"], f"{where}.gains", MAX_ORDER)
    if len(entries) != order:
        raise ScheduleError(f"{where}.gains: {len(entries)} given; order {order} needs {order}")
    gains = (read_number(g, f"{where}.gains[{i}]", -1e6, 1e6) for i, g in enumerate(entries))
    return Adams(tuple(gains))


def written(predictor: Predictor) -> dict[str, Any]:
    """What stands in a file for a predictor: its name, and its fields."""
    order = {"order": len(predictor.gains)} if isinstance(predictor, Adams) else {}
    return {"predictor": predictor.name, **order, **asdict(predictor)}
