"""``--ray``: who does the work of a command, this process alone or workers on Ray."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Any

import typer

from meancache_plan.cli.loading import Loading
from meancache_plan.errors import InputError
from meancache_plan.version import __version__

if TYPE_CHECKING:
    from meancache_plan.fleet.crew import Crew
    from meancache_plan.fleet.on_ray import RayCrew
    from meancache_plan.schedule.artifact import Schedule
    from meancache_plan.source.diffusers.pipeline import Pipeline

Ray = Annotated[
    bool,
    typer.Option(
        "--ray",
        help="Divide the work among workers on Ray: on the cluster of RAY_ADDRESS or of this "
        "machine, or on this machine alone.",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        min=1, max=10_000, help="Workers on Ray; by default as many as there is room for."
    ),
]
GpusPerWorker = Annotated[
    int | None,
    typer.Option(
        min=0, help="GPUs that a worker's model is spread over; by default one, if there is any."
    ),
]


@dataclass(frozen=True, slots=True)
class Fleet:
    """The options of workers on Ray, as they were given."""

    ray: bool
    workers: int | None
    gpus: int | None
    any_device: bool = False

    @contextmanager
    def crew(
        self, loading: Loading, schedule: "Schedule | None" = None
    ) -> "Generator[Crew[Pipeline]]":
        """Whoever does the work, each with the pipeline that the command line names.

        Raises:
            InputError: Ray is wanted but not installed or cannot be joined, or an option is for Ray
                alone; or see :meth:`Loading.load`.
        """
        from meancache_plan.fleet.crew import Alone

        self._check(loading.device)
        if not self.ray:
            yield Alone(loading.load(schedule))
            return
        from meancache_plan.fleet.on_ray import joined

        with joined():
            yield self._on_ray(loading, schedule)

    def _check(self, device: str | None) -> None:
        if not self.ray and (self.workers, self.gpus) != (None, None):
            raise InputError("--workers and --gpus-per-worker are for workers on Ray: add --ray")
        if self.ray and device is not None:
            raise InputError(
                f"--device {device}: workers on Ray compute on the GPUs that it gives them; leave "
                "out --device, or give --gpus-per-worker 0 for CPUs"
            )
        if self.ray and find_spec("ray") is None:
            raise InputError(
                "--ray needs Ray, which is not installed: run `pip install 'meancache-plan[ray]'`, "
                "on every machine of the cluster"
            )

    def _on_ray(self, loading: Loading, schedule: "Schedule | None") -> "RayCrew[Pipeline]":
        from meancache_plan.fleet.on_ray import RayCrew, Room, gpus_of_cluster

        gpus = self.gpus if self.gpus is not None else min(1, gpus_of_cluster())
        device = ("cpu", "cuda:0")[gpus] if gpus < 2 else None
        _, recipe = loading.chosen(schedule)
        make = partial(replace(loading.settled(), device=device, gpus=gpus or 1).load_as, recipe)
        told = os.environ.get("OMP_NUM_THREADS", "")
        threads = int(told) if told.isdecimal() else 1
        facts = partial(_facts, any_device=self.any_device)
        return RayCrew(make, facts, Room(gpus, max(1, threads)), self.workers)


def _facts(pipeline: "Pipeline", *, any_device: bool) -> dict[str, Any]:
    from meancache_plan.measure.settings import on_any_device

    versions = pipeline.versions() | {"meancache-plan": __version__}
    return {
        "model": pipeline.identity().model_dump(mode="json"),
        "versions": on_any_device(versions) if any_device else versions,
    }
