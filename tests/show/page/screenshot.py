"""The README's picture of a report: ``python -m tests.show.page.screenshot REPORT PNG``."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.show.page.browser import launched
from tests.show.page.visit import visited

SIZE = {"width": 1280, "height": 2246}
"""The page down to the worst prompts."""


def shoot(report: Path, picture: Path) -> None:
    """Write what a reader sees who opens the report in a tall window."""
    with launched() as browser, visited(browser, report.resolve(), viewport=SIZE) as visit:
        visit.page.screenshot(path=picture)


if __name__ == "__main__":
    shoot(Path(sys.argv[1]), Path(sys.argv[2]))
