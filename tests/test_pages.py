"""The pages are short, their links lead somewhere, and the files that they name are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("benchmarks", "calibration", "docs", "integrations", "runtime", "schedules", "tests")
PAGES = sorted([*ROOT.glob("*.md"), *(page for f in FOLDERS for page in (ROOT / f).rglob("*.md"))])
LINES = {"README.md": 150, "docs/ARCHITECTURE.md": 150, "CONTRIBUTING.md": 100}
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")
TO_TOUCH = re.compile(r"^(?:-|\d+\.) `(\S+/\S*|\S+\.\w+)` `([^`]+)`:", re.MULTILINE)
"""An entry of a list of files: its path, and what one looks for in it."""

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def prose(page: Path) -> str:
    """The page without its blocks of code."""
    return re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)


def anchors(page: Path) -> set[str]:
    """Those of its headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    words = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in words}


@pytest.mark.parametrize(("page", "most"), LINES.items())
def test_a_page_is_as_long_as_it_takes_and_no_longer(page: str, most: int) -> None:
    assert len((ROOT / page).read_text(encoding="utf-8").splitlines()) <= most


@every_page
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for target, anchor in LINK.findall(prose(page)):
        there = (page.parent / target).resolve() if target else page
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), f"{target}#{anchor}"


@pytest.mark.parametrize(("page", "least"), [("CONTRIBUTING.md", 25), ("docs/ARCHITECTURE.md", 18)])
def test_the_files_to_touch_are_there_and_have_what_is_looked_for(page: str, least: int) -> None:
    found = TO_TOUCH.findall((ROOT / page).read_text(encoding="utf-8"))
    assert len(found) >= least
    for name, wanted in found:
        assert wanted in (ROOT / name).read_text(encoding="utf-8"), f"{name}: {wanted}"
