"""The embedded pipeline: what it promises, and the whole path on it, end to end."""

from __future__ import annotations

import json
import re
from itertools import combinations, pairwise
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
import torch
from diffusers import FluxPipeline
from PIL import Image

from meancache_plan import load_profile, solve
from meancache_plan.core.interval_graph import interval_graph
from meancache_plan.core.objective import Objective
from meancache_plan.core.search import shortest_paths
from meancache_plan.judge.evaluate import evaluate
from meancache_plan.judge.findings import Evaluation
from meancache_plan.measure.calibrate import calibrate
from meancache_plan.measure.profile import Profile
from meancache_plan.measure.profile_settings import Measuring
from meancache_plan.plan.plan_budgets import plan_budgets
from meancache_plan.schedule import artifact
from meancache_plan.source import catalog
from meancache_plan.source.diffusers.load_pipeline import load
from meancache_plan.source.diffusers.pipeline import Pipeline
from meancache_plan.source.recipe import find_recipe, read_prompts
from meancache_runtime import attach, load_schedule
from tests.trajectories import line_graph

pytestmark = pytest.mark.early(5)

ROOT = Path(__file__).parents[2]
FOLDER = catalog.reference_pipeline()
RECIPE = find_recipe(catalog.REFERENCE, None)
BUDGETS = (10, 16)
PAPER = Objective(("hold", "jvp"), "l1", "none", gamma=4.0)


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    return load(catalog.REFERENCE, RECIPE, device="cpu")


@pytest.fixture(scope="module")
def profile(pipeline: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Profile:
    """A small calibration of the real thing."""
    path = tmp_path_factory.mktemp("reference") / "profile"
    calibrate(pipeline, read_prompts(RECIPE.prompts)[:12], [0], path, Measuring(batch=12))
    return load_profile(path)


def test_it_loads_as_a_plain_flux_pipeline_in_one_precision() -> None:
    pipe = FluxPipeline.from_pretrained(FOLDER)
    parts = (pipe.transformer, pipe.vae, pipe.text_encoder, pipe.text_encoder_2)
    assert {p.dtype for part in parts for p in part.parameters()} == {torch.float32}


def test_its_weights_are_safetensors_of_at_most_25_megabytes() -> None:
    weights = list(FOLDER.rglob("*.safetensors"))
    assert sum(file.stat().st_size for file in weights) <= 25e6
    assert not [file for file in FOLDER.rglob("*") if file.suffix in (".bin", ".pt", ".ckpt")]


def test_its_files_name_no_place_on_the_machine_that_trained_it() -> None:
    for file in FOLDER.rglob("*.json"):
        assert not re.search(r'": "(/|[A-Z]:\\)', file.read_text(encoding="utf-8")), file


def test_the_card_shows_its_samples_and_recommends_what_the_recipe_uses() -> None:
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert "samples.png" in card
    assert f"true_cfg_scale={RECIPE.guidance}" in card
    assert Image.open(FOLDER / "samples.png").size > (8 * 64, 4 * 64)


def test_the_prompt_changes_the_picture_and_so_does_guidance(pipeline: Pipeline) -> None:
    apple = pipeline.generate("a red apple on a blue ground", 0).frames[0]
    frog = pipeline.generate("a frog on a blue ground", 0).frames[0]
    red, green = (float((p[..., 0] - p[..., 1]).mean()) for p in (apple, frog))
    assert red - green > 0.1, "an apple is redder than a frog"


@pytest.mark.parametrize("objective", [PAPER, Objective(("hold", "jvp"), "rms", "width")])
def test_pssp_is_the_shortest_path_of_a_budget_expanded_graph_on_the_real_profile(
    profile: Profile, objective: Objective
) -> None:
    graph = interval_graph(profile, objective)
    expanded: nx.DiGraph = nx.DiGraph()
    for t, s, edge in graph.edges(data=True):
        for used in range(max(BUDGETS)):
            known = expanded.get_edge_data((t, used), (s, used + 1), {"weight": np.inf})
            weight = min(known["weight"], edge["weight"])
            expanded.add_edge((t, used), (s, used + 1), weight=weight)
    distance = nx.single_source_dijkstra_path_length(expanded, (0, 0))
    for budget, [found] in plan_budgets(profile, objective, "pssp", BUDGETS).items():
        best = min(distance.get((50, used), np.inf) for used in range(1, budget + 1))
        assert found.cost == pytest.approx(best, rel=1e-12)


def test_the_path_is_networkxs_shortest_on_the_line_graph_of_the_real_profile(
    profile: Profile,
) -> None:
    graph = line_graph(profile, Objective(("hold", "adams"), weighting="width", gamma=2))
    arcs: nx.DiGraph = nx.DiGraph()
    for s in range(1, 51):
        arcs.add_edge((0, 0, 0), (1, 0, s), weight=graph.first[s])
    for r, t, s in combinations(range(51), 3):
        for used in range(1, min(r + 2, BUDGETS[0])):
            arcs.add_edge((used, r, t), (used + 1, t, s), weight=graph.arcs[r, t, s])
    distance = nx.single_source_dijkstra_path_length(arcs, (0, 0, 0))
    [path] = shortest_paths(graph, BUDGETS[:1])[BUDGETS[0]]
    best = min(length for (_, _, s), length in distance.items() if s == 50)
    assert path.weight == pytest.approx(best, rel=1e-12)


def test_at_each_budget_the_denoiser_runs_exactly_so_often_a_branch(
    pipeline: Pipeline, profile: Profile
) -> None:
    schedule = solve(profile, budgets=[*BUDGETS, 50]).replayable()
    plain = pipeline.generate("an owl on a blue ground", 1000)
    for budget in (*BUDGETS, 50):
        with attach(pipeline.pipe, schedule, budget=budget) as attachment:
            sample = pipeline.generate("an owl on a blue ground", 1000)
        assert attachment.stats.refreshes == budget
        assert attachment.stats.denoiser_calls == 2 * budget
        assert torch.equal(sample.latents, plain.latents) == (budget == 50)


@pytest.fixture(scope="module")
def evaluation(pipeline: Pipeline, profile: Profile) -> Evaluation:
    """Of the profile's plans and of the paper's, on prompts that it has not seen."""
    schedule = solve(profile, budgets=BUDGETS)
    paper = solve(
        profile,
        budgets=BUDGETS,
        planner="pssp",
        predictors=PAPER.predictors,
        metric=PAPER.metric,
        weighting=PAPER.weighting,
        gamma=PAPER.gamma,
    )
    held_out = read_prompts(RECIPE.heldout_prompts)[:2]
    return evaluate(pipeline, schedule, held_out, [1000], rivals={"paper": paper})


def test_the_whole_path_beats_its_baselines_on_held_out_prompts(evaluation: Evaluation) -> None:
    assert len(evaluation.rows) == 1 + 2 * 5
    for budget in BUDGETS:
        rows = {row.method: row for row in evaluation.rows if row.budget == budget}
        assert rows["plan"].mean("calls") == 2 * budget
        others = [row.mean("psnr_latent") for name, row in rows.items() if name != "plan"]
        assert rows["plan"].mean("psnr_latent") > max(others)
        assert rows["plan"].mean("ssim") > 0.9


def test_the_shipped_schedule_is_for_this_very_pipeline_and_says_how_good_it_is(
    pipeline: Pipeline,
) -> None:
    file = ROOT / "schedules" / "reference" / "50-steps.json"
    schedule = artifact.load_schedule(file)
    assert load_schedule(file) == schedule.replayable()
    assert schedule.provenance is not None
    left_out = [entry.budget for entry in schedule.provenance.pruned]
    assert sorted([*schedule.budgets, *left_out]) == [8, 10, 11, 13, 16, 20, 25]
    assert all(record.validated is not None for record in schedule.provenance.plans)
    assert schedule.model == pipeline.identity()
    assert file.read_bytes() == artifact.to_bytes(schedule)
    measured = [plan.measured for plan in schedule.plans if plan.measured is not None]
    assert len(measured) >= 6
    assert all(a.psnr_latent < b.psnr_latent for a, b in pairwise(measured))


def test_the_json_of_an_evaluation_has_the_promised_keys(evaluation: Evaluation) -> None:
    costs, qualities = {"calls", "seconds"}, {"psnr_latent", "psnr", "ssim", "flip"}
    for row in json.loads(evaluation.to_json())["rows"]:
        assert {"method", "setting", "steps", "budget", "figures", "speedup"} <= row.keys()
        assert costs | (set() if row["method"] == "full" else qualities) <= row["figures"].keys()
        for spread in row["figures"].values():
            assert {"mean", "interval", "worst", "samples"} <= spread.keys()
