"""What stands in for a model in the tests takes the calls that a model takes."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from meancache_plan.core.objective import Measurements
from meancache_plan.fleet.crew import Alone, Crew
from meancache_plan.judge.frechet.picture_features import Autoencoder, Features, Inception
from meancache_plan.judge.loop_memory import Account, Allocator
from meancache_plan.judge.operations import Operations
from meancache_plan.judge.picture_witnesses import Shots, Witness
from meancache_plan.judge.sample_folder import SampleFolder
from meancache_plan.measure.profile import Profile
from meancache_plan.source.diffusers.pipeline import Pipeline
from meancache_plan.source.diffusers.pipeline_ensemble import PipelineEnsemble
from meancache_plan.source.protocols import Ensemble, Source
from tests.fields import mixture, noise, shifted_grid
from tests.fleet.test_workers import Scattered
from tests.improve import refinement
from tests.improve.flow_ensemble import FlowEnsemble
from tests.judge.frechet.colours import Colours
from tests.judge.test_contest import Nobody
from tests.measure import sources
from tests.trajectories import Trajectories

KINDS: dict[type, tuple[type, ...]] = {
    Source: (Pipeline, sources.Source, sources.Batching, sources.Resuming),
    Ensemble: (PipelineEnsemble, FlowEnsemble, refinement.Samples, refinement.Overflowing),
    Measurements: (Profile, Trajectories),
    Crew: (Alone, Nobody, Scattered),
    Features: (Inception, Autoencoder, Colours),
    Witness: (Shots, SampleFolder),
    Account: (Allocator, Operations),
}
"""Each protocol, and what claims to follow it, in the compiler and in its tests."""


def holds(kind: type, name: str) -> bool:
    """Whether its instances have an attribute: a property, a field, or set by ``__init__``."""
    begins = [vars(each).get("__init__") for each in kind.__mro__]
    codes = [begin.__code__ for begin in begins if inspect.isfunction(begin)]
    annotated = inspect.get_annotations(kind)
    return hasattr(kind, name) or name in annotated or any(name in c.co_names for c in codes)


def method(kind: type, name: str) -> Any:
    """Its own or inherited one, not that of its metaclass. Raises AttributeError."""
    for each in kind.__mro__:
        if name in vars(each):
            return vars(each)[name]
    raise AttributeError("not there")


def refused(kind: type, protocol: type) -> list[str]:
    """What a kind lacks of a protocol, and methods that do not take the protocol's arguments."""
    found: list[str] = []
    for name, wanted in vars(protocol).items():
        if name.startswith("_") and name != "__call__":
            continue
        if isinstance(wanted, property):
            if not holds(kind, name):
                found.append(f"{kind.__module__}.{kind.__name__}.{name}: not there")
        elif inspect.isfunction(wanted):
            asked = inspect.signature(wanted).parameters.values()
            by_name = {each.name: each for each in asked if each.kind is each.KEYWORD_ONLY}
            in_order = [each for each in asked if each.kind is each.POSITIONAL_OR_KEYWORD]
            try:
                inspect.signature(method(kind, name)).bind(*in_order, **by_name)
            except (AttributeError, TypeError) as error:
                found.append(f"{kind.__module__}.{kind.__name__}.{name}: {error}")
    return found


@pytest.mark.parametrize(
    ("protocol", "kind"),
    [(protocol, kind) for protocol, kinds in KINDS.items() for kind in kinds],
    ids=lambda each: each.__name__,
)
def test_everything_takes_what_it_is_asked(protocol: type, kind: type) -> None:
    assert refused(kind, protocol) == []


def test_what_lacks_a_method_or_an_argument_is_found_out() -> None:
    class Short:
        def record(self, prompt: str, seed: int) -> None: ...

    def names(protocol: type) -> set[str]:
        return {line.split(": ")[0].rpartition(".")[2] for line in refused(Short, protocol)}

    assert {"record", "resume"} <= names(Source)
    assert {"sigmas", "propagation_by_step"} <= names(Measurements)
    assert names(Features) == {"name", "__call__"}


def test_an_ensemble_tells_its_grid_and_its_prompts() -> None:
    ensemble: Ensemble = FlowEnsemble(mixture(), noise(4), shifted_grid(6))
    assert len(ensemble.sigmas) == 7
    assert ensemble.prompt_index.tolist() == [0, 1, 2, 3]
