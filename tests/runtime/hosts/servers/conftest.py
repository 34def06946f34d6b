"""The fakes of the servers, where a worker of theirs finds the servers themselves."""

from __future__ import annotations

import importlib.metadata
import os
import sys
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from meancache_runtime.hosts.servers.offer import BUDGET, SCHEDULE

FAKES = Path(__file__).parent / "fakes"
DISTRIBUTION = Path(__file__).parents[4] / "runtime" / "pyproject.toml"


@contextmanager
def faked(**environment: str) -> Iterator[None]:
    """Servers are importable, in a process that ``environment`` alone tells of schedules.

    They find the plug-ins that meancache-runtime declares, and are unknown again afterwards.
    """
    declared = tomllib.loads(DISTRIBUTION.read_text())["project"]["entry-points"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            importlib.metadata,
            "entry_points",
            lambda group: [EntryPoint(n, value, group) for n, value in declared[group].items()],
        )
        patch.syspath_prepend(str(FAKES))
        for name in (SCHEDULE, BUDGET):
            patch.delenv(name, raising=False)
        for name, value in environment.items():
            patch.setenv(name, value)
        try:
            yield
        finally:
            for name in [n for n in sys.modules if n.partition(".")[0] in ("vllm_omni", "sglang")]:
                del sys.modules[name]


@pytest.fixture(autouse=True)
def _servers() -> Iterator[None]:
    """As :func:`faked`, in a test."""
    with faked():
        yield


Offer = Callable[[Sequence[Path], int | None], None]


@pytest.fixture
def offer(monkeypatch: pytest.MonkeyPatch) -> Offer:
    """Tell the process of schedules and a budget, as whoever starts a server does."""

    def tell(schedules: Sequence[Path], budget: int | None) -> None:
        if schedules:
            monkeypatch.setenv(SCHEDULE, os.pathsep.join(map(str, schedules)))
        if budget is not None:
            monkeypatch.setenv(BUDGET, str(budget))

    return tell
