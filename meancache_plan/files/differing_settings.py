"""Where two settings differ."""

from collections.abc import Iterator
from typing import Any, NamedTuple

ABSENT = "absent"


class Difference(NamedTuple):
    """A plain value that two nested settings do not share: its full name, and both."""

    name: str
    there: object
    here: object


def differences(there: Any, here: Any) -> Iterator[Difference]:
    """All of them, in the order of the settings; JSON values, lists or tuples alike."""
    first, second = dict(_leaves(there)), dict(_leaves(here))
    for name in first | second:
        pair = first.get(name, ABSENT), second.get(name, ABSENT)
        if pair[0] != pair[1]:
            yield Difference(name, *pair)


def _leaves(value: object, name: str = "") -> Iterator[tuple[str, object]]:
    """Yield the plain values in nested settings, each with its full name."""
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _leaves(item, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list | tuple) and value:
        for i, item in enumerate(value):
            yield from _leaves(item, f"{name}[{i}]")
    else:
        yield name, value
