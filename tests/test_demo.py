"""What `make demo` does, on few prompts, and that no line of it is of another library."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from meancache_plan.source.recipe import read_prompts
from tests.test_makefile import MAKE_SETTINGS
from tests.test_readme import OURS, lines

ROOT = Path(__file__).parent.parent
DATA = ("models", "pictures", "reference")
EIGHT = 8
"""Prompts there are to calibrate on: the demo takes every fourth."""

IN_ONE_PROCESS = """
import shlex, subprocess, sys
from meancache_plan.cli import main
for line in sys.stdin.read().splitlines():
    words = shlex.split(line)
    if not words[0].endswith("meancache-plan"):
        subprocess.run(["bash", "-euc", line], check=True)
        continue
    sys.argv = words
    try:
        main()
    except SystemExit as ended:
        assert not ended.code, line
"""
"""Runs commands one after the other: in a process for each, most of the time would be imports."""

pytestmark = [
    pytest.mark.early(2),
    pytest.mark.skipif(shutil.which("make") is None, reason="needs make"),
]


@pytest.fixture
def recipe() -> list[str]:
    """The lines of `make demo` after the installation."""
    mine = {name: value for name, value in os.environ.items() if name not in MAKE_SETTINGS}
    command = ["make", "--no-print-directory", "-n", "-o", ".venv/installed", "demo"]
    shown = subprocess.run(command, cwd=ROOT, env=mine, capture_output=True, text=True, check=True)
    return lines(shown.stdout)


def test_the_demo_runs_and_no_line_is_of_another_library(
    recipe: list[str], cwd: Path, others: Path
) -> None:
    prompts = cwd / "calibration/prompts/reference-calibration.txt"
    prompts.parent.mkdir(parents=True)
    prompts.write_text("\n".join(read_prompts("reference-calibration")[:EIGHT]))
    (cwd / "reference-heldout").write_text(read_prompts("reference-heldout")[0])
    for name in DATA:
        (cwd / "calibration" / name).symlink_to(ROOT / "calibration" / name)
    command = [sys.executable, "-c", IN_ONE_PROCESS]
    done = subprocess.run(command, input="\n".join(recipe), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not [line for line in done.stderr.splitlines() if not OURS.match(line)]
    assert not others.read_text()
    *_, told = done.stdout.splitlines()
    assert told.startswith("To look at: ")
    for name in told.removeprefix("To look at: ").split():
        assert (cwd / name).stat().st_size > 1000, name
