"""What the tests of files share: a folder's contents, and a function that fails once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any


def failing(call: int, error: BaseException, original: Callable[..., Any]) -> Callable[..., Any]:
    """The function, but its call of this number raises."""
    calls = [0]

    def run(*args: Any) -> Any:
        calls[0] += 1
        if calls[0] == call:
            raise error
        return original(*args)

    return run


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}
