"""The benchmark of plans on videos: what it says of figures that are known."""

from __future__ import annotations

import pytest

from benchmarks.contest import BASELINES, REFINED
from benchmarks.video import is_better, table
from meancache_plan.judge.findings import Row, Spread


def row(method: str, latents: float, frames: float, flicker: float) -> Row:
    values = {"psnr_latent": latents, "psnr": frames, "flicker": flicker}
    figures = {
        name: Spread.of([value, value], higher=name != "flicker") for name, value in values.items()
    }
    return Row(method=method, setting="B = 8", steps=50, budget=8, figures=figures)


def rows(*ours: float) -> list[Row]:
    baselines = [row(name, 20 + i, 25 + i, 0.05) for i, name in enumerate(BASELINES)]
    return [*baselines, row(REFINED, *ours)]


@pytest.mark.parametrize(
    ("ours", "better"),
    [((40, 45, 0.01), True), ((40, 45, 0.06), False), ((40, 20, 0.01), False)],
)
def test_refined_plans_are_to_be_first_in_every_figure(
    ours: tuple[float, ...], better: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    assert is_better(rows(*ours)) == better
    assert ("MISSED" in capsys.readouterr().out) != better


def test_a_table_has_a_line_a_method_and_a_column_a_budget() -> None:
    found = table(rows(40, 45, 0.01), "flicker", 2)
    assert [column.header for column in found.columns][1:] == ["B = 8"]
    assert found.row_count == len(BASELINES) + 1
    assert list(found.columns[1].cells)[-1] == "0.01 (0.01)"
