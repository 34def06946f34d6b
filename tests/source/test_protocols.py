"""What stands in for a model in the tests takes the calls that a model takes."""

from __future__ import annotations

import inspect

import pytest

from meancache_plan.source.diffusers.pipeline import Pipeline
from meancache_plan.source.diffusers.pipeline_ensemble import PipelineEnsemble
from meancache_plan.source.protocols import Ensemble, Source
from tests.fields import mixture, noise, shifted_grid
from tests.improve import refinement
from tests.improve.flow_ensemble import FlowEnsemble
from tests.measure import given

SOURCES = (Pipeline, given.Source, given.Batching, given.Resuming)
ENSEMBLES = (PipelineEnsemble, FlowEnsemble, refinement.Samples, refinement.Overflowing)


def refused(kind: type, protocol: type) -> list[str]:
    """The methods that a kind lacks, or that do not take the protocol's arguments."""
    found: list[str] = []
    for name, wanted in inspect.getmembers(protocol, inspect.isfunction):
        if name.startswith("_"):
            continue
        asked = inspect.signature(wanted).parameters.values()
        by_name = {each.name: each for each in asked if each.kind is each.KEYWORD_ONLY}
        in_order = [each for each in asked if each.kind is each.POSITIONAL_OR_KEYWORD]
        try:
            inspect.signature(getattr(kind, name)).bind(*in_order, **by_name)
        except (AttributeError, TypeError) as error:
            found.append(f"{kind.__module__}.{kind.__name__}.{name}: {error}")
    return found


@pytest.mark.parametrize("kind", SOURCES)
def test_every_source_takes_what_a_source_is_asked(kind: type) -> None:
    assert refused(kind, Source) == []


@pytest.mark.parametrize("kind", ENSEMBLES)
def test_every_ensemble_takes_what_an_ensemble_is_asked(kind: type) -> None:
    assert refused(kind, Ensemble) == []


def test_what_lacks_a_method_or_an_argument_is_found_out() -> None:
    class Short:
        def record(self, prompt: str, seed: int) -> None: ...

    names = [line.split(": ")[0].rpartition(".")[2] for line in refused(Short, Source)]
    assert "record" in names
    assert "resume" in names


def test_an_ensemble_tells_its_grid_and_its_prompts() -> None:
    ensemble: Ensemble = FlowEnsemble(mixture(), noise(4), shifted_grid(6))
    assert len(ensemble.sigmas) == 7
    assert ensemble.prompt_index.tolist() == [0, 1, 2, 3]
