"""Contests of the tiny pipeline with whoever is given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from diffusers import FluxPipeline

from meancache_plan.judge.compare.run_comparison import RULES
from meancache_plan.judge.conclusions import conclude
from meancache_plan.judge.contender import Contender
from meancache_plan.judge.contest import Contest
from meancache_plan.judge.evaluation_field import full_run
from meancache_plan.judge.findings import Comparison
from meancache_plan.judge.run_contest import run
from tests.judge.tiny_comparison import STEPS, tiny_pipeline

PROMPTS, SEEDS = ("red fox", "tree"), (3, 4)


def contest(pipe: FluxPipeline, *contenders: Contender, **options: Any) -> Contest:
    given = {"prompts": PROMPTS, "seeds": SEEDS, "rules": RULES, "counted": 1}
    return Contest(tiny_pipeline(pipe), full_run(STEPS), contenders, **(given | options))


def compared(given: Contest, folder: Path | None = None) -> Comparison:
    found = conclude(given.programme(), run(given, folder))
    return Comparison(schedule_sha256="sha256:0", steps=STEPS, calls_per_step=1, counted=1, **found)
