"""Figures as files: JSON and back, a spreadsheet, a chart, a table."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from PIL import Image
from pydantic import ValidationError
from rich.console import Console

from meancache_plan.errors import InputError
from meancache_plan.judge.findings import PLAN, Comparison, Row
from meancache_plan.show.comparison_files import to_csv
from meancache_plan.show.images.comparison_chart import front, plot_comparison
from meancache_plan.show.terminal.comparison_tables import comparison_tables
from tests.judge.tiny_comparison import STEPS, comparison, row

FAILED = Row(method="sea", setting="x", steps=STEPS, failure="needs a [bold]sail[/bold]")


@pytest.fixture
def some() -> Comparison:
    return comparison(
        row("full", "all", 8.0, [120.0, 120.0]),
        row("plan", "B = 4", 4.0, [40.0, 44.0], budget=4),
        row("cache", "a", 4.0, [50.0, 54.0]),
        row("cache", "b", 3.0, [20.0, 24.0]),
        FAILED,
    )


def test_json_is_read_back_as_it_was(some: Comparison) -> None:
    assert Comparison.model_validate_json(some.to_json()) == some


def test_a_row_has_figures_or_a_failure_but_not_both(some: Comparison) -> None:
    content = some.rows[1].model_dump()
    for change in ({"failure": "why"}, {"figures": {}}):
        with pytest.raises(ValidationError, match="figures"):
            Row.model_validate(content | change)


def test_a_spreadsheet_has_one_line_a_row_with_its_means_and_intervals(some: Comparison) -> None:
    lines = list(csv.DictReader(io.StringIO(to_csv(some.rows))))
    assert [line["method"] for line in lines] == ["full", "plan", "cache", "cache", "sea"]
    plan, failed = lines[1], lines[4]
    assert (plan["budget"], plan["failure"]) == ("4", "")
    found = [float(plan[name]) for name in ("psnr_latent", "psnr_latent_low", "psnr_latent_high")]
    assert found == [42, 40, 44]
    assert (float(plan["refreshes"]), plan["lpips"], plan["memory"]) == (4, "", "")
    assert (failed["failure"], failed["psnr"]) == (FAILED.failure, "")


def test_the_front_holds_what_nothing_cheaper_beats() -> None:
    points = [(3.0, 30.0), (1.0, 10.0), (2.0, 5.0), (2.0, 20.0), (4.0, 30.0)]
    assert front(points, higher=True) == [(1.0, 10.0), (2.0, 20.0), (3.0, 30.0)]
    assert front(points, higher=False) == [(1.0, 10.0), (2.0, 5.0)]


def test_a_chart_is_drawn(some: Comparison, tmp_path: Path) -> None:
    plot_comparison(some, tmp_path / "c.png")
    assert min(Image.open(tmp_path / "c.png").size) > 500
    with pytest.raises(InputError, match="png"):
        plot_comparison(some, tmp_path / "c.pdf")


def test_the_table_shows_the_best_at_equal_cost_the_losses_and_who_could_not_run(
    some: Comparison,
) -> None:
    console = Console(width=200, file=io.StringIO(), record=True)
    console.print(comparison_tables(some))
    text = console.export_text()
    cells = [line.split() for line in text.splitlines() if line.startswith(("plan ", "cache "))]
    assert cells == [["plan", "42.0"], ["cache", "52.0"]] * 2
    assert "lose to cache (a) by 10.0 at B = 4" in text
    assert "sea: needs a [bold]sail[/bold]" in text


@pytest.mark.parametrize("name", ["a$\\foo$", "_hidden", "$"])
def test_a_chart_takes_any_name_as_words(some: Comparison, tmp_path: Path, name: str) -> None:
    rows = [row.model_copy(update={"method": name}) for row in some.rows if row.method != PLAN]
    plans = [row for row in some.rows if row.method == PLAN]
    plot_comparison(some.model_copy(update={"rows": (*plans, *rows)}), tmp_path / "c.png")
    assert (tmp_path / "c.png").stat().st_size > 0
