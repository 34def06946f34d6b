"""Plans as step masks, read by cache-dit itself; and step masks as plans."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from diffusers import FluxPipeline

from meancache_plan import load_schedule
from meancache_plan.schedule.mask_export import to_cache_dit, to_sglang
from meancache_plan.schedule.mask_import import read_mask
from meancache_plan.source.catalog import schedule_files
from meancache_runtime import load_schedule as load_for_replay
from meancache_runtime.predictors import Adams, Hold
from meancache_runtime.schedule import Plan
from tests.extras import needs_cache_dit
from tests.runtime import by_hand
from tests.schedule.masks import CACHE_DIT, DPCACHE, STEPS, command, said
from tests.tiny import call_options

REFERENCE = schedule_files()["reference/50-steps"]
PLAN = Plan(4, (0, 1, 3, 7), (Hold(), Hold(), Adams((1.02, 0.7)), Hold()))


@needs_cache_dit
def test_cache_dit_runs_the_blocks_at_the_plans_knots_alone(
    tiny_flux: FluxPipeline, tmp_path: Path
) -> None:
    import cache_dit

    file = tmp_path / "mask.yaml"
    file.write_text(to_cache_dit(PLAN, STEPS))
    steps: list[int] = []
    tiny_flux.transformer.single_transformer_blocks[-1].register_forward_hook(
        lambda *_: steps.append(tiny_flux.scheduler.step_index or 0)
    )
    cache_dit.enable_cache(tiny_flux, **cache_dit.load_configs(str(file)))
    for _ in range(2):
        steps.clear()
        tiny_flux("a cat", **call_options(STEPS))
        assert steps == list(PLAN.knots)


@needs_cache_dit
def test_sglangs_bins_are_the_mask_to_the_function_that_reads_them() -> None:
    import cache_dit

    for plan in (PLAN, Plan(2, (0, 9), (Hold(), Hold())), load_for_replay(REFERENCE).plan(10)):
        steps = STEPS if plan.knots[-1] < STEPS else 50
        lines = [x for x in to_sglang(plan, steps).splitlines() if not x.startswith("#")]
        said = dict(line.split("=") for line in lines)
        computed, cached = (
            [int(n) for n in said[f"SGLANG_CACHE_DIT_SCM_{kind}_BINS"].split(",")]
            for kind in ("COMPUTE", "CACHE")
        )
        found = cache_dit.steps_mask(computed, cached, total_steps=steps)
        assert found == [int(step in plan.knots) for step in range(steps)]
        assert said["SGLANG_CACHE_DIT_SCM_POLICY"] == "static"


def test_a_shell_reads_the_variables(tmp_path: Path) -> None:
    file = tmp_path / "mask.env"
    assert command("export", REFERENCE, "--budget", 10, "--to", "sglang", "-o", file) == 0
    script = f"set -aeu; . {file}; printenv SGLANG_CACHE_DIT_SCM_CACHE_BINS"
    shell = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    assert sum(map(int, shell.stdout.split(","))) == 40


@pytest.mark.parametrize("form", ["cache-dit", "sglang"])
def test_the_file_says_what_is_lost_and_nothing_of_what_was_measured(
    form: str, tmp_path: Path
) -> None:
    document = json.loads(REFERENCE.read_text())
    for plan in document["plans"]:
        assert plan["measured"]
        plan["measured"] = None
    (tmp_path / "unmeasured.json").write_text(json.dumps(document))
    texts = set()
    for file in (REFERENCE, tmp_path / "unmeasured.json"):
        out = tmp_path / "out"
        assert command("export", file, "--budget", 10, "--to", form, "-o", out) == 0
        texts.add(out.read_text())
    (text,) = texts
    assert "predictors are lost" in text
    assert "judge it anew" in text


def test_what_no_mask_can_say_is_not_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    levels, out = tmp_path / "levels.txt", tmp_path / "out.yaml"
    levels.write_text("1 0")
    mask = ["--to", "cache-dit", "-o", out]
    assert command("export", REFERENCE, "--budget", 10, "--sigmas", levels, *mask) == 2
    assert "--sigmas: a step mask has no noise levels" in said(capsys)
    assert command("export", REFERENCE, "--budget", 9, *mask) == 2
    assert "no plan for budget 9" in said(capsys)
    document = json.loads(REFERENCE.read_text())
    document["grid"]["switches"] = [document["plans"][0]["knots"][1]]
    document["plans"] = document["plans"][:1]
    two = tmp_path / "two.json"
    two.write_text(json.dumps(document))
    assert command("export", two, "--budget", 8, *mask) == 2
    assert "made for two denoisers" in said(capsys)
    every = tmp_path / "every.json"
    document["grid"] |= {"steps": 2, "sigmas": None, "switches": []}
    document["generation"]["calls"] = [2, 2]
    hold = {"predictor": "hold"}
    document["plans"] = [document["plans"][0] | {"budget": 2, "knots": [0, 1]}]
    document["plans"][0] |= {"intervals": [hold, hold], "innovation": [1.0]}
    every.write_text(json.dumps(document))
    assert command("export", every, "--budget", 2, *mask) == 2
    assert "nothing to cache: choose a smaller budget" in said(capsys)
    assert not out.exists()


def test_what_was_exported_comes_back_with_the_same_knots(tmp_path: Path) -> None:
    mask, again = tmp_path / "mask.yaml", tmp_path / "again.json"
    assert command("export", REFERENCE, "--budget", 10, "--to", "cache-dit", "-o", mask) == 0
    assert command("import-plans", mask, "--model", "a/model", "-o", again) == 0
    (plan,) = load_for_replay(again).plans
    assert plan.knots == load_for_replay(REFERENCE).plan(10).knots
    assert plan.intervals[0] == Hold()
    assert plan.intervals[1] == Adams((1.0, 1.0))
    schedule = load_schedule(again)
    assert schedule.model is not None
    assert schedule.model.id == "a/model"
    assert schedule.plans[0].measured is None


@pytest.mark.parametrize("suffix", [".json", ".yaml", ".yml"])
def test_a_mask_that_reuses_holds(suffix: str, tmp_path: Path) -> None:
    file = tmp_path / f"mask{suffix}"
    file.write_text(json.dumps(CACHE_DIT))
    found = read_mask(file)
    assert found is not None
    (plan,) = found.schedule("a/model").plans
    assert plan.knots == (0, 1, 3, 7)
    assert set(plan.intervals) == {Hold()}
    assert found.schedule("a/model").grid.sigmas is None


def test_taylorseers_order_is_that_of_the_predictor_as_far_as_knots_are_known(
    tmp_path: Path,
) -> None:
    config = CACHE_DIT["cache_config"] | {"enable_taylorseer": True, "taylorseer_order": 2}
    (tmp_path / "mask.json").write_text(json.dumps({"cache_config": config}))
    found = read_mask(tmp_path / "mask.json")
    assert found is not None
    (plan,) = found.schedule("a/model").plans
    assert plan.intervals == (Hold(), Adams((1.0,) * 2), Adams((1.0,) * 3), Adams((1.0,) * 3))


def test_dpcaches_schedule_keeps_its_noise_levels_and_extrapolates_linearly(
    tmp_path: Path,
) -> None:
    file, out = tmp_path / "dp.json", tmp_path / "s.json"
    file.write_text(json.dumps(DPCACHE))
    assert command("import-plans", file, "--model", "a/model", "-o", out) == 0
    schedule = load_for_replay(out)
    assert schedule.grid.sigmas == tuple(DPCACHE["request"]["sigmas"])
    (plan,) = schedule.plans
    assert plan.intervals == (Hold(), *[Adams((1.0, 1.0))] * 3)
    # A velocity that is linear in σ is extrapolated exactly: as with all steps.
    levels = schedule.grid.sigmas
    fresh = [by_hand.torch.tensor([2.0 - 3.0 * levels[k]]) for k in plan.knots]
    answers = by_hand.answers(plan, levels, fresh)
    means = [float(answers[k]) * (levels[e] - levels[k]) for k, e in [(3, 7), (7, 10)]]
    exact = [
        sum((2.0 - 3.0 * levels[k]) * (levels[k + 1] - levels[k]) for k in range(*edge))
        for edge in [(3, 7), (7, 10)]
    ]
    assert means == pytest.approx(exact, abs=1e-6)
