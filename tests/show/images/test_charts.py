"""Charts of profiles, schedules and evaluations are PNG files with something in them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from meancache_plan.errors import InputError
from meancache_plan.judge.findings import Evaluation
from meancache_plan.measure.profile import Profile
from meancache_plan.measure.profile_flow import profile_flow
from meancache_plan.schedule.artifact import PlanEntry
from meancache_plan.show.evaluation_files import write_evaluation
from meancache_plan.show.images.evaluation_charts import plot_evaluation
from meancache_plan.show.images.schedule_charts import plot_profile, plot_schedule
from meancache_plan.show.terminal import views as report
from tests.show.drawn import opened
from tests.show.shown import EVALUATION, HOLD, SCHEDULE, STEPS, printed


def test_a_plan_over_the_heat_map_changes_the_picture(profile: Profile, tmp_path: Path) -> None:
    plot_profile(profile, tmp_path / "plain.png")
    plot_profile(profile, tmp_path / "plan.png", plan=SCHEDULE.plans[0])
    plain, plan = opened(tmp_path / "plain.png"), opened(tmp_path / "plan.png")
    assert plain.shape != plan.shape or (plain != plan).any()


def test_heat_map_refuses_a_plan_of_a_longer_grid(profile: Profile, tmp_path: Path) -> None:
    plan = PlanEntry(budget=2, knots=(0, 30), intervals=(HOLD, HOLD))
    with pytest.raises(InputError, match="more steps"):
        plot_profile(profile, tmp_path / "x.png", plan=plan)


def test_a_profile_without_any_deviation_is_drawn_too(tmp_path: Path) -> None:
    still = profile_flow(lambda z, _: torch.ones_like(z), torch.zeros(1, 1, 3), (1.0, 0.5, 0.0))
    plot_profile(still, tmp_path / "still.png")
    opened(tmp_path / "still.png")
    assert "2 steps" in printed(report.show_profile(still))


def test_schedule_chart_grows_with_its_plans(tmp_path: Path) -> None:
    many = tuple(PlanEntry(budget=b, knots=(0,), intervals=(HOLD,)) for b in range(1, 13))
    plot_schedule(SCHEDULE, tmp_path / "two.png")
    plot_schedule(SCHEDULE.model_copy(update={"plans": many}), tmp_path / "many.png")
    assert len(opened(tmp_path / "many.png")) > len(opened(tmp_path / "two.png"))


def test_evaluation_is_written_as_json_chart_and_sheet(tmp_path: Path) -> None:
    files = {"json_file": "e.json", "plot": "chart.png", "sheet": "sheet.png"}
    write_evaluation(EVALUATION, **{key: tmp_path / name for key, name in files.items()})
    assert Evaluation.model_validate_json((tmp_path / "e.json").read_text()).steps == STEPS
    for name in ("chart.png", "sheet.png"):
        opened(tmp_path / name)


def test_evaluation_of_nothing_but_identical_samples_is_drawn(tmp_path: Path) -> None:
    alone = EVALUATION.model_copy(update={"rows": EVALUATION.rows[:1]})
    plot_evaluation(alone, tmp_path / "alone.png")
    assert opened(tmp_path / "alone.png").shape[2] == 3
