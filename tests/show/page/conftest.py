"""A browser for the tests of the page; one that is missing is an error where it is required."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from meancache_plan.show.page import write_report
from tests.show.page import reported
from tests.show.page.browser import MissingBrowserError, driver, launched, program
from tests.show.page.visit import Visit, visited

REQUIRED = os.environ.get("MEANCACHE_BROWSER") == "required"


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless Chromium."""
    try:
        program()
        driver()
    except MissingBrowserError as error:
        if REQUIRED:
            pytest.fail(f"MEANCACHE_BROWSER=required, but there is {error}")
        pytest.skip(str(error))
    with launched() as found:
        yield found


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of everything that is hostile."""
    folder = tmp_path_factory.mktemp("report")
    write_report(
        reported.SCHEDULE,
        folder / "report.html",
        profile=reported.profile(),
        evaluation=reported.evaluation(),
        samples=reported.samples(folder / "judged"),
        name=f"{reported.HOSTILE}.json",
    )
    return folder / "report.html"


@pytest.fixture
def visit(browser: Any, report: Path) -> Iterator[Visit]:
    """The report, open, which complains of nothing until the test is over."""
    with visited(browser, report) as found:
        yield found
        assert found.complaints == []
