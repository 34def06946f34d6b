"""The fakes of the servers, where a worker of theirs finds the servers themselves."""

from __future__ import annotations

import importlib.metadata
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from meancache_runtime.hosts.servers.offer import BUDGET, SCHEDULE

FAKES = Path(__file__).parent / "fakes"
DISTRIBUTION = Path(__file__).parents[3] / "runtime" / "pyproject.toml"


@pytest.fixture(autouse=True)
def _servers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Servers are importable in a process that has not been told of any schedule.

    They find the plug-ins that meancache-runtime declares, and are unknown again afterwards.
    """
    declared = tomllib.loads(DISTRIBUTION.read_text())["project"]["entry-points"]
    monkeypatch.setattr(
        importlib.metadata,
        "entry_points",
        lambda group: [EntryPoint(n, value, group) for n, value in declared[group].items()],
    )
    monkeypatch.syspath_prepend(str(FAKES))
    for name in (SCHEDULE, BUDGET):
        monkeypatch.delenv(name, raising=False)
    yield
    for name in [n for n in sys.modules if n.partition(".")[0] in ("vllm_omni", "sglang")]:
        del sys.modules[name]
