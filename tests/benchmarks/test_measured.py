"""The pages of evidence: of this very reference pipeline, and the README's figures are theirs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks import measured

ROOT = Path(__file__).parents[2]
PAGES = sorted(measured.FOLDER.glob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_was_measured_on_this_reference_pipeline_by_its_own_command(page: Path) -> None:
    assert page.stem in measured.PAGES
    assert measured.measured_on(page) == measured.revision(page.stem)
    assert f"- command: `python {measured.PAGES[page.stem]}`\n" in page.read_text(encoding="utf-8")


def test_every_figure_in_the_readmes_evidence_stands_on_a_page() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (?!---)(.+) \|$", text.split("## Evidence")[1].split("\n## ")[0], re.M)
    figures = {figure for row in rows for figure in re.findall(r"\d+\.\d", row)}
    known = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert figures
    assert not [figure for figure in figures if not re.search(rf"\b{figure}\b", known)]


def test_a_page_says_command_pipeline_and_machine_and_what_was_printed() -> None:
    table = measured.page("planning", "python -m x", ["| a |", "| --- |", "| 1.0 |"])
    assert table.startswith(
        "# planning\n\n- command: `python -m x`\n- reference pipeline: `weights"
    )
    assert table.endswith("\n| a |\n| --- |\n| 1.0 |\n")
    assert measured.page("x", "y", ["plain words"]).endswith("\n```text\nplain words\n```\n")


def test_a_command_that_fails_leaves_no_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measured, "FOLDER", tmp_path)
    monkeypatch.setitem(measured.PAGES, "missed", "-c print('low');exit(3)")
    monkeypatch.setitem(measured.PAGES, "broken", "-c raise(ValueError)")
    measured.measure("missed")
    with pytest.raises(SystemExit):
        measured.measure("broken")
    assert [page.name for page in tmp_path.iterdir()] == ["missed.md"]
    assert measured.measured_on(tmp_path / "missed.md") == measured.revision("missed")
