"""The command line as a test runs it: what it prints, how it ends."""

from __future__ import annotations

import re

import pytest

from meancache_plan.cli import main


def run(*arguments: str) -> None:
    """Run a command that must succeed."""
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    assert stop.value.code in (0, None)


def refuse(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run a command that must fail as bad input does; return its one message."""
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    streams = capsys.readouterr()
    assert stop.value.code == 2
    assert "Traceback" not in streams.err
    assert streams.err.strip()
    return re.sub(r"\s+", " ", streams.err)
