"""What people see: terminal views at 80 columns, and PNG files with something in them."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from networkx import read_graphml
from rich.console import Console, RenderableType

from meancache_plan.core.psnr import CEILING
from meancache_plan.errors import InputError
from meancache_plan.judge.result import Evaluation, Row, Spread
from meancache_plan.measure.calibrate import profile_flow
from meancache_plan.measure.profile import Profile, save_profile
from meancache_plan.schedule.artifact import (
    Grid,
    Measured,
    ModelIdentity,
    PlanEntry,
    Schedule,
    save_schedule,
)
from meancache_plan.show.evaluation_files import write_evaluation
from meancache_plan.show.images.charts import plot_profile, plot_schedule
from meancache_plan.show.images.evaluation import plot_evaluation
from meancache_plan.show.landscape import by_length, hold_surfaces, spread
from meancache_plan.show.terminal import views as report
from meancache_plan.show.terminal.evaluation import evaluation_table
from meancache_plan.show.terminal.widgets import Timeline
from meancache_runtime.errors import BudgetError
from meancache_runtime.schedule import Adams, Hold, Jvp
from tests.show.drawn import opened, shots

STEPS = 12
SIGMAS = tuple(float(s) for s in np.linspace(1.0, 0.0, STEPS + 1))
HOLD, JVP, ADAMS = Hold(), Jvp(2), Adams((1.0, 1.0))
SCHEDULE = Schedule(
    model=ModelIdentity(
        id="emoji \x1b[31mred $\\frac$",
        revision=None,
        fingerprint=None,
        pipeline="FluxPipeline",
        scheduler=None,
        adapters=(),
    ),
    grid=Grid(steps=STEPS, sigmas=SIGMAS, tolerance=0.01),
    generation=None,
    plans=(
        PlanEntry(budget=3, knots=(0, 4, 9), intervals=(HOLD, JVP, ADAMS), cost=0.5),
        PlanEntry(
            budget=4,
            knots=(0, 4, 8, 10),
            intervals=(HOLD, JVP, JVP, ADAMS),
            measured=Measured(
                psnr_latent=31.25, psnr=28.0, ssim=0.9, speedup=2.5, samples=8, prompts="p"
            ),
        ),
    ),
    provenance=None,
)


def quadratic(latents: torch.Tensor, sigma: float) -> torch.Tensor:
    return torch.full_like(latents, sigma**2) + 0.1 * latents


@pytest.fixture
def profile() -> Profile:
    noise = torch.randn(3, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    return profile_flow(quadratic, noise, SIGMAS)


def row(method: str, budget: int, psnr: float) -> Row:
    quality = {"psnr_latent": psnr, "psnr": psnr - 2, "ssim": 0.91, "flip": 0.1}
    figures = quality | {"calls": float(budget), "seconds": 1.5}
    return Row(
        method=method, setting=f"B = {budget}", steps=STEPS, budget=budget, speedup=2.0,
        figures={name: Spread.of([value], higher=True) for name, value in figures.items()},
    )  # fmt: skip


EVALUATION = Evaluation(
    model=ModelIdentity(
        id="m", revision=None, fingerprint=None, pipeline=None, scheduler=None, adapters=()
    ),
    schedule_sha256="sha256:0",
    steps=STEPS,
    prompts_sha256="sha256:1",
    prompts=2,
    seeds=(0,),
    latent_range=4.0,
    device="cpu",
    versions={},
    rows=(
        row("full", 12, CEILING),
        row("plan", 3, 35.5),
        row("uniform-hold", 3, 27.3),
        row("uniform-adams", 3, 33.1),
        row("fewer-steps", 3, 26.4),
        row("plan", 12, CEILING),
    ),
    shots=shots(),
)


def printed(view: RenderableType, width: int = 80) -> str:
    console = Console(width=width, highlight=False, force_terminal=False)
    with console.capture() as capture:
        console.print(view)
    return capture.get()


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


def test_hold_surface_is_the_mean_absolute_error_of_reuse(profile: Profile) -> None:
    noise = torch.randn(3, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    z, velocities = noise[0][None], []
    for sigma, following in pairwise(SIGMAS):
        velocities.append(quadratic(z, sigma))
        z = z + (following - sigma) * velocities[-1]
    expected = float((torch.stack(velocities[4:7]).mean(0) - velocities[4]).abs().mean())
    surface = hold_surfaces(profile)[0]
    assert surface[4, 7] == pytest.approx(expected, rel=1e-4)
    assert by_length(surface, 3)[4] == surface[4, 7]
    assert np.isnan(surface[4, 4])


def test_spread_is_zero_for_prompts_that_do_not_differ(profile: Profile) -> None:
    def alike(latents: torch.Tensor, sigma: float) -> torch.Tensor:
        return torch.full_like(latents, sigma)

    same = spread(profile_flow(alike, torch.zeros(2, 1, 3), SIGMAS))
    differing = spread(profile)
    assert same is not None
    assert differing is not None
    assert (same.relative, same.largest) == (0.0, pytest.approx(1.0))
    assert differing.relative > 0


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
