"""Workers with a pipeline each, in any number, come to what one pipeline comes to."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from meancache_plan.cli.loading_options import Loading
from meancache_plan.files.journal import Journal
from meancache_plan.fleet.crew import Alone, Begin, Change, Crew
from meancache_plan.judge.asked_requests import OtherRequest
from meancache_plan.judge.compare.run_comparison import compare
from meancache_plan.judge.compare.sweep import QUICK, Extrapolating, Skipping, WarmingUp
from meancache_plan.judge.evaluate import evaluate
from meancache_plan.judge.figures import FIGURES
from meancache_plan.judge.findings import Comparison, Evaluation
from meancache_plan.judge.sample_folder import SampleFolder
from meancache_plan.measure.calibrate import calibrate
from meancache_plan.measure.profile_settings import Measuring
from meancache_plan.source.diffusers.pipeline import Pipeline
from meancache_plan.source.diffusers.pipeline_ensemble import PipelineEnsemble
from meancache_plan.source.protocols import Ensemble
from tests.judge.tiny_comparison import SCHEDULE, tiny_pipeline
from tests.tiny import tiny_flux

TOLD = FIGURES.keys() - {"relative_seconds", "loop_seconds", "seconds"}
SAMPLES = ("a cat", "a dog", "an owl"), (1, 2)
ROWS = tuple(range(6))


class Scattered(Crew[Any]):
    """Workers that know only what was pickled, as Ray does it; the last units are done first."""

    def __init__(self, things: Sequence[Any]) -> None:
        self._things = things
        self._pickle = pytest.importorskip("ray.cloudpickle", reason="needs the extra ray")

    def do(self, begin: Begin[Any, Any, Any], units: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        """Do them."""
        works = [self._sent(begin)(thing) for thing in self._things]
        for place in reversed(range(len(units))):
            work = works[place % len(works)]
            for result in self._sent(list(work(self._sent(units[place])))):
                yield place, result

    @contextmanager
    def changed(self, change: Change[Any]) -> Generator[Scattered]:
        """Change all of them."""
        with ExitStack() as stack:
            entered = [stack.enter_context(self._sent(change)(thing)) for thing in self._things]
            yield Scattered(entered)

    def _sent(self, value: Any) -> Any:
        return self._pickle.loads(self._pickle.dumps(value))


@pytest.fixture
def alone() -> Pipeline:
    return tiny_pipeline(tiny_flux())


@pytest.fixture
def crew() -> Scattered:
    return Scattered([tiny_pipeline(tiny_flux()) for _ in range(2)])


def test_they_measure_the_same_profile_and_keep_the_same_runs(
    alone: Pipeline, crew: Scattered, tmp_path: Path
) -> None:
    found: list[tuple[str, dict[str, bytes]]] = []
    for name, each in (("alone", alone), ("crew", crew)):
        runs = tmp_path / f"{name}.runs"
        profile = calibrate(each, *SAMPLES, tmp_path / name, Measuring(batch=2), runs=runs)
        kept = {file.name: file.read_bytes() for file in runs.glob("trajectory-*")}
        found.append((profile.fingerprint, kept))
    assert found[0] == found[1]
    assert len(found[0][1]) == len(SAMPLES[0])


def test_they_refine_on_the_same_latents(alone: Pipeline, crew: Scattered) -> None:
    ensembles = [PipelineEnsemble(each, *SAMPLES, Journal(), batch=2) for each in (alone, crew)]

    def equal(call: Callable[[Ensemble], Tensor]) -> bool:
        return torch.equal(*map(call, ensembles))

    assert equal(lambda each: each.velocity(ROWS, 2, each.full(ROWS, 2)))
    assert equal(lambda each: each.replay(ROWS, SCHEDULE.replayable(), 3))
    assert equal(lambda each: each.plain(ROWS, 4))


def test_they_evaluate_to_the_same_figures_and_pictures(
    alone: Pipeline, crew: Scattered, tmp_path: Path
) -> None:
    folders = [SampleFolder(tmp_path / name) for name in ("alone", "crew")]
    ours, theirs = (
        evaluate(each, SCHEDULE, *SAMPLES, budgets=[3], shots=2, witness=folder)
        for each, folder in zip((alone, crew), folders, strict=True)
    )
    assert timeless(ours) == timeless(theirs)
    shown = [[(shot.prompt, shot.method, shot.frames.tolist()) for shot in each.shots]
             for each in (ours, theirs)]  # fmt: skip
    assert shown[0] == shown[1] != []
    pictures = [
        {file.relative_to(tmp_path / name): file.read_bytes()
         for file in (tmp_path / name).rglob("*.png")}
        for name in ("alone", "crew")
    ]  # fmt: skip
    assert pictures[0] == pictures[1] != {}


def test_they_compare_with_the_same_figures(alone: Pipeline, crew: Scattered) -> None:
    none = Skipping((), ())
    few = replace(QUICK, budgets=(3,), mag=none, sea=none, attention=(), counted=2)
    few = replace(few, taylor_lite=Extrapolating((), ()), dual_block=WarmingUp((), ()))
    samples = SAMPLES[0][:2], (1,)
    ours, theirs = (
        compare(each, SCHEDULE, *samples, ("a fish",), sweep=few) for each in (alone, crew)
    )
    assert timeless(ours) == timeless(theirs)


def test_they_are_asked_for_other_samples_for_a_while(alone: Pipeline, crew: Scattered) -> None:
    request = OtherRequest(alone.recipe.model_copy(update={"steps": 5}))
    for each in (Alone(alone), crew):
        with each.changed(Loading(None, None).asking(request)) as asked:
            assert asked.ask(lambda pipeline: pipeline.recipe.steps) == 5
        assert each.ask(lambda pipeline: pipeline.recipe.steps) == alone.recipe.steps != 5


def timeless(found: Evaluation | Comparison) -> list[dict[str, Any]]:
    """The rows, without seconds."""
    rows = [row.model_dump(exclude={"speedup"}) for row in found.rows]
    for row in rows:
        row["figures"] = {name: row["figures"][name] for name in TOLD & row["figures"].keys()}
    return rows
