"""What people see in a terminal of 80 columns."""

from __future__ import annotations

from pathlib import Path

import pytest
from networkx import read_graphml
from rich.console import Console

from meancache_plan import solve
from meancache_plan.errors import InputError
from meancache_plan.judge.findings import Spread
from meancache_plan.measure.profile import Profile, save_profile
from meancache_plan.schedule.artifact import save_schedule
from meancache_plan.show.terminal import views as report
from meancache_plan.show.terminal.evaluation_table import evaluation_table
from meancache_plan.show.terminal.widgets import Timeline
from meancache_runtime.errors import BudgetError
from tests.fields import mixture_profile
from tests.show.drawn import opened
from tests.show.shown import EVALUATION, SCHEDULE, STEPS, printed, row


def test_evaluation_table_has_a_line_a_method_in_80_columns() -> None:
    lines = printed(evaluation_table(EVALUATION)).splitlines()
    assert max(map(len, lines)) <= 80
    assert not any("…" in line for line in lines)
    plan = next(line for line in lines if line.startswith("plan "))
    assert " ".join(plan.split()) == "plan 3 3 35.5 35.5 33.5 33.5 0.910 0.100 1.50 2.00×"
    assert "same" in next(line for line in lines if line.startswith("plan          12"))


def test_evaluation_table_has_room_for_lpips_in_80_columns() -> None:
    lpips = {"lpips": Spread.of([0.123], higher=False)}
    rows = [r.model_copy(update={"figures": r.figures | lpips}) for r in EVALUATION.rows]
    lines = printed(evaluation_table(EVALUATION.model_copy(update={"rows": tuple(rows)})))
    plan = next(line for line in lines.splitlines() if line.startswith("plan "))
    assert " ".join(plan.split()) == "plan 3 3 35.5 35.5 33.5 33.5 0.91 0.10 0.12 1.50 2.00×"
    assert "…" not in lines


def test_only_where_fewer_steps_are_the_steps_of_held_velocities_it_is_said_why() -> None:
    assert "alike" not in printed(evaluation_table(EVALUATION))
    held, fewer = row("uniform-hold", 4, 27.3), row("fewer-steps", 4, 27.3 + 1e-6)
    rows = (*EVALUATION.rows, held, fewer)
    text = " ".join(printed(evaluation_table(EVALUATION.model_copy(update={"rows": rows}))).split())
    assert "uniform-hold and fewer-steps are alike at B = 4: holding a velocity over equal" in text


def test_schedule_view_draws_the_plan_that_is_asked_for_as_a_line_of_cells() -> None:
    text = printed(report.show_schedule(SCHEDULE, budget=3))
    assert "█░░░█░░░░█░░" in text.splitlines()
    assert "3 refreshes in 12 steps, 4.00× in theory: 1 hold, 1 jvp, 1 adams" in text
    assert "budget 4" not in text
    assert "latents 31.2 dB" in printed(report.show_schedule(SCHEDULE, budget=4))


def test_schedule_view_has_a_line_a_budget_without_columns_of_nothing() -> None:
    lines = printed(report.show_schedule(SCHEDULE)).splitlines()
    assert max(map(len, lines)) <= 80
    table = [" ".join(line.split()) for line in lines]
    assert "budget fewer measured speed-up intervals" in table
    assert "3 4.00× – – 1 hold, 1 jvp, 1 adams" in table
    assert "4 3.00× 31.2 dB 2.50× 1 hold, 2 jvp, 1 adams" in table
    assert not any("█" in line for line in lines)
    legend = " ".join(table)
    assert "mean latent PSNR measured on held-out prompts; speed-up: of the whole call" in legend
    assert "predicted" not in legend


@pytest.mark.parametrize("budget", [None, 3])
def test_views_are_free_of_control_characters_from_files(budget: int | None) -> None:
    text = printed(report.show_schedule(SCHEDULE, budget=budget))
    assert "emoji �[31mred" in text


def test_long_timelines_are_folded_at_whole_tens() -> None:
    lines = printed(Timeline(100, {0: "hold", 75: "jvp"}), width=77).splitlines()
    assert [len(line) for line in lines] == [70, 30]
    assert lines[1].index("█") == 5


def test_timelines_survive_terminals_without_unicode() -> None:
    console = Console(width=80, highlight=False)
    options = console.options.update()
    options.encoding = "ascii"
    line = "".join(s.text for s in console.render(Timeline(4, {0: "hold", 2: "adams"}), options))
    assert line == "#.#.\n"


def test_profile_view_shows_where_reuse_goes_wrong(profile: Profile) -> None:
    text = printed(report.show_profile(profile))
    assert "12 steps, σ 1 → 0" in text
    assert "3 of 3" in text
    assert " 2 steps" in text
    assert "differ by" in text


def test_show_tells_profiles_from_schedules_and_draws_both(
    profile: Profile, tmp_path: Path
) -> None:
    measured, planned = tmp_path / "p.safetensors", tmp_path / "s.json"
    save_profile(profile, measured)
    save_schedule(SCHEDULE, planned)
    assert "deviation" in printed(report.show(measured, plot=tmp_path / "profile.png"))
    assert "--budget N" in printed(report.show(planned, plot=tmp_path / "schedule.png"))
    drawn = report.show(planned, plot=tmp_path / "plan.png", profile=measured, budget=3)
    assert "budget 3" in printed(drawn)
    report.show(planned, graph=tmp_path / "graph.png", profile=measured, budget=3)
    report.show(measured, graph=tmp_path / "graph.graphml")
    assert len(read_graphml(tmp_path / "graph.graphml")) == STEPS + 1
    for name in ("profile", "schedule", "plan", "graph"):
        assert min(opened(tmp_path / f"{name}.png").shape[:2]) > 200


def test_a_plan_drawn_over_another_profile_than_its_own_is_said(
    profile: Profile, tmp_path: Path
) -> None:
    own, other, planned = tmp_path / "own", tmp_path / "other", tmp_path / "s.json"
    save_profile(profile, own)
    save_profile(mixture_profile(STEPS, samples=2), other)
    save_schedule(solve(profile, [3]), planned)
    for measured, said in ((own, False), (other, True)):
        text = printed(report.show(planned, plot=tmp_path / "plan.png", profile=measured))
        assert ("made from a profile other than the one shown here" in text) == said
    save_profile(mixture_profile(STEPS + 1, samples=2), other)
    with pytest.raises(InputError, match="the profile has 13 steps, the schedule 12"):
        report.show(planned, plot=tmp_path / "none.png", profile=other)
    assert not (tmp_path / "none.png").exists()


def test_show_refuses_missing_files_and_unknown_budgets(profile: Profile, tmp_path: Path) -> None:
    measured, planned = tmp_path / "p.safetensors", tmp_path / "s.json"
    save_profile(profile, measured)
    save_schedule(SCHEDULE, planned)
    with pytest.raises(InputError, match="cannot be read"):
        report.show(tmp_path / "none.json")
    with pytest.raises(InputError, match="a profile: --budget is for schedules; solve it first"):
        report.show(measured, budget=3)
    with pytest.raises(BudgetError, match="budget 7"):
        report.show(planned, plot=tmp_path / "x.png", profile=measured, budget=7)
    with pytest.raises(InputError, match="the graph is of a profile: name it with --profile"):
        report.show(planned, graph=tmp_path / "x.png")
