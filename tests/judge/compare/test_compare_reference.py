"""``meancache-plan compare --quick`` on the reference pipeline, with true CFG and without it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from meancache_plan.judge.compare import sweep
from meancache_plan.judge.compare.sweep import QUICK, Extrapolating, WarmingUp
from meancache_plan.judge.findings import Comparison
from meancache_plan.schedule.artifact import save_schedule
from meancache_plan.source.recipe import find_recipe
from tests.commands import run
from tests.judge.tiny_comparison import SCHEDULE

STEPS, SIDE = 6, 32
GRID = SCHEDULE.grid.model_copy(update={"steps": STEPS})
ONE_PLAN = SCHEDULE.model_copy(update={"grid": GRID, "plans": SCHEDULE.plans[:1]})
ONE_SETTING = replace(
    QUICK,
    first_block=(0.3,),
    taylor_lite=Extrapolating((4,), orders=(1,)),
    dual_block=WarmingUp((0.4,), full=(4,)),
)
"""Each cache makes the picture once."""

RECIPE = find_recipe("reference", None)
WITH_ONE_STATE = {"PAB", "FasterCache"}
"""Peers that cannot serve two calls a step."""


@pytest.mark.parametrize("guidance", [2.5, 1.0])
def test_everyone_makes_pictures_of_the_reference_pipeline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, guidance: float
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sweep, "QUICK", ONE_SETTING)
    save_schedule(ONE_PLAN, Path("schedule.json"))
    Path("fit.txt").write_text("a green apple\n")
    Path("held.txt").write_text("a red apple\n")
    Path("recipe.toml").write_text(
        f"steps = {STEPS}\nheight = {SIDE}\nwidth = {SIDE}\nguidance = {guidance}\n"
        f'guidance_argument = "{RECIPE.guidance_argument}"\nnegative_prompt = ""\n'
        'dtype = "float32"\ncall = { max_sequence_length = 12 }\n'
        "seeds = '0'\nheldout_seeds = '9'\n"
        'prompts = "fit.txt"\nheldout_prompts = "held.txt"\n'
    )
    run("compare", "reference", "--recipe", "recipe.toml", "--quick", "--json", "c.json")
    found = Comparison.model_validate_json(Path("c.json").read_bytes())
    assert found.calls_per_step == (2 if guidance > 1 else 1)
    others = {row.method for row in found.failures()} - {"DBCache", "DBCache + TaylorSeer"}
    assert others == (WITH_ONE_STATE if guidance > 1 else set())
    assert {"plan", "UniPC", "MagCache", "SeaCache"} <= {row.method for row in found.measured()}
