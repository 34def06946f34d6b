"""The Makefile installs what is asked for, once: real make, an interpreter that notes its calls."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
STAND_IN = """#!/bin/sh
echo "$*" >> log
if [ "$1 $2" = "-m venv" ]; then mkdir -p "$3/bin" && cp "$0" "$3/bin/python"; fi
"""
PREREQUISITES = ("pyproject.toml", "runtime/pyproject.toml", "constraints.txt")

MAKE_SETTINGS = {"MAKEFLAGS", "MAKEOVERRIDES", "MFLAGS", "EXTRAS", "PYTHON"}
"""What a make that runs these tests hands down."""

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with the Makefile, what an installation depends on, and no real interpreter."""
    (tmp_path / "runtime").mkdir()
    for name in ("Makefile", *PREREQUISITES):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "interpreter").write_text(STAND_IN)
    (tmp_path / "interpreter").chmod(0o755)
    return tmp_path


def installed(
    checkout: Path, *arguments: str, goals: tuple[str, ...] = (".venv/installed",)
) -> list[str]:
    """What of this project pip was called with by one run of make."""
    log = checkout / "log"
    log.write_text("")
    command = ["make", *goals, "PYTHON=./interpreter", *arguments]
    quiet = {name: value for name, value in os.environ.items() if name not in MAKE_SETTINGS}
    done = subprocess.run(command, cwd=checkout, check=False, capture_output=True, env=quiet)
    assert done.returncode == 0 or goals == ("demo",), done.stderr
    calls = [line.split() for line in log.read_text().splitlines()]
    return [call[-1] for call in calls if call[:3] == ["-m", "pip", "install"]]


def test_extras_that_are_not_there_yet_are_installed_beside_those_that_are(checkout: Path) -> None:
    assert installed(checkout) == [".[test]"]
    assert installed(checkout, "EXTRAS=test,browser") == [".[browser,test]"]


def test_the_demo_installs_what_a_user_needs_and_no_developer_tools(checkout: Path) -> None:
    """The demo stops behind its install, as there is nothing here to demonstrate."""
    assert installed(checkout, goals=("demo",)) == ["."]
    assert installed(checkout, "EXTRAS=test") == [".[test]"]
    assert installed(checkout, goals=("demo",)) == []


def test_what_is_there_is_not_installed_again_whichever_of_it_is_asked_for(checkout: Path) -> None:
    installed(checkout, "EXTRAS=test,browser")
    for wanted in ("EXTRAS=test,browser", "EXTRAS=browser,test", "EXTRAS=test"):
        assert installed(checkout, wanted) == []


@pytest.mark.parametrize("changed", PREREQUISITES)
def test_a_changed_requirement_installs_every_extra_again(checkout: Path, changed: str) -> None:
    installed(checkout, "EXTRAS=test,browser")
    later = (checkout / ".venv" / "installed").stat().st_mtime + 10
    os.utime(checkout / changed, (later, later))
    assert installed(checkout) == [".[browser,test]"]
