"""Rows and spreads: what figures come to, and which files are none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from meancache_plan.core.bootstrap import bootstrap_interval
from meancache_plan.errors import InputError
from meancache_plan.judge.findings import Evaluation, Spread, load_evaluation
from tests.judge.tiny_comparison import evaluation, row


@pytest.mark.parametrize(("higher", "tenth"), [(True, 0.5), (False, 18.5)])
def test_the_worst_tenth_is_the_mean_of_the_worst_tenth(higher: bool, tenth: float) -> None:
    found = Spread.of([float(v) for v in range(20)], higher=higher)
    assert found.worst == (0.0 if higher else 19.0)
    assert found.worst_tenth == tenth


def test_the_worst_tenth_of_a_few_samples_is_the_worst_one() -> None:
    assert Spread.of([3.0, 1.0, 2.0], higher=True).worst_tenth == 1.0


def test_prompts_are_what_is_resampled() -> None:
    values, prompts = [1.0, 3.0, 5.0, 9.0, 2.0, 2.0], [0, 0, 1, 1, 2, 2]
    found = Spread.of(values, higher=True, groups=prompts)
    assert found.interval == bootstrap_interval([2.0, 7.0, 2.0])


def test_seeds_are_resampled_where_there_is_one_prompt() -> None:
    found = Spread.of([1.0, 2.0, 6.0], higher=True, groups=[4, 4, 4])
    assert found.interval == bootstrap_interval([1.0, 2.0, 6.0])


def test_a_figure_that_was_not_measured_is_refused_by_name() -> None:
    with pytest.raises(InputError, match="lpips was not measured"):
        row("plan", "B = 3", 3.0, [1.0]).mean("lpips")


def test_findings_hold_the_figures_that_every_reader_counts_on() -> None:
    whole = row("plan", "B = 3", 3.0, [1.0], budget=3)
    without = {name: spread for name, spread in whole.figures.items() if name != "ssim"}
    with pytest.raises(ValidationError, match="plan, B = 3: figures lack ssim"):
        evaluation(whole.model_copy(update={"figures": without}))


@pytest.mark.parametrize(
    ("change", "reason"),
    [({"version": 2}, "version"), ({"more": 1}, "more"), ({"rows": 3}, "rows")],
)
def test_other_json_is_refused_by_name(
    tmp_path: Path, change: dict[str, object], reason: str
) -> None:
    file = tmp_path / "e.json"
    content = json.loads(evaluation(row("plan", "B = 3", 3.0, [1.0])).to_json())
    file.write_text(json.dumps(content | change))
    with pytest.raises(InputError, match=rf"e\.json: .*{reason}"):
        load_evaluation(file)


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="evaluate --json"):
        load_evaluation(tmp_path / "absent.json")


def test_json_is_read_back_as_it_was(tmp_path: Path) -> None:
    found: Evaluation = evaluation(row("plan", "B = 3", 3.0, [1.0], budget=3))
    (tmp_path / "e.json").write_text(found.to_json())
    assert load_evaluation(tmp_path / "e.json") == found
