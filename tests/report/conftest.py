"""A browser for the tests of the page; one that is missing is an error where it is required."""

from __future__ import annotations

import importlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from meancache_plan.report.html import write_report
from tests.report import given

REQUIRED = os.environ.get("MEANCACHE_BROWSER") == "required"
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless Chromium."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        _do_without("no Chromium: install it, as in `apt-get install chromium`")
    try:
        playwright = importlib.import_module("playwright.sync_api")
    except ImportError:
        _do_without("no playwright: pip install 'meancache-plan[browser]'")
    with playwright.sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=program, args=list(FLAGS))
        yield found
        found.close()


def _do_without(reason: str) -> None:
    if REQUIRED:
        pytest.fail(f"MEANCACHE_BROWSER=required, but there is {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of everything that is given."""
    folder = tmp_path_factory.mktemp("report")
    write_report(
        given.SCHEDULE,
        folder / "report.html",
        profile=given.profile(),
        evaluation=given.evaluation(),
        samples=given.samples(folder / "judged"),
        name=f"{given.HOSTILE}.json",
    )
    return folder / "report.html"
