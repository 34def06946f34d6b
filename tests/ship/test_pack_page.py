"""``MEANCACHE.md`` of a schedule that was made elsewhere, and the lines that use a schedule."""

from __future__ import annotations

import ast
import builtins
import re
from pathlib import Path
from typing import Any

import pytest

from meancache_plan import load_schedule
from meancache_plan.source import catalog
from tests.commands import run
from tests.ship.kits import table


def test_the_page_of_an_imported_table_claims_no_calibration_and_no_grid(cwd: Path) -> None:
    source = catalog.schedule_files()["qwen-image/50-steps"]
    run("pack", "--schedule", str(source), "-o", "release")
    card = (cwd / "release" / "MEANCACHE.md").read_text()
    assert "imported from published plans" in card
    assert "for any noise levels of 50 steps" in card
    assert "The schedule: as its source states." in card
    assert not re.search("calibrat|predicted, dB|more than 0 off|Make it again|own licence", card)
    assert [row[:2] for row in table(card)] == [["10", "10"], ["17", "17"], ["25", "25"]]
    run("pack", "--schedule", str(source), "--licence", "Apache-2.0", "-o", "release")
    assert "The schedule: Apache-2.0." in (cwd / "release" / "MEANCACHE.md").read_text()


@pytest.mark.parametrize("name", ["qwen-image/50-steps", "reference/50-steps"])
def test_the_lines_to_use_it_define_every_name_that_they_use(cwd: Path, name: str) -> None:
    run("pack", "--schedule", str(catalog.schedule_files()[name]), "-o", "release")
    card = (cwd / "release" / "MEANCACHE.md").read_text()
    assert "```sh\npip install meancache-runtime\n```" in card
    lines = card.partition("```python\n")[2].partition("```")[0]
    tree = ast.walk(ast.parse(lines))
    known, used = set(dir(builtins)), set[str]()
    for node in tree:
        if isinstance(node, ast.alias):
            known.add(node.asname or node.name)
        elif isinstance(node, ast.Name):
            (used if isinstance(node.ctx, ast.Load) else known).add(node.id)
    assert {"attach", "pipe"} <= used <= known
    made = load_schedule(catalog.schedule_files()[name]).generation
    guidance = {"true_cfg_scale": 4.0} if made is None else made.guidance
    assert all(f"{argument}={value!r}" in lines for argument, value in guidance.items())


def test_the_lines_to_use_it_run_in_the_kits_folder(
    cwd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("pack", "--schedule", str(catalog.schedule_files()["reference/50-steps"]), "-o", "release")
    lines = (cwd / "release" / "MEANCACHE.md").read_text().partition("```python\n")[2]
    monkeypatch.chdir(cwd / "release")
    names: dict[str, Any] = {}
    exec(lines.partition("```")[0], names)
    assert names["result"].images[0].size == (64, 64)
