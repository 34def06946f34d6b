"""``--ray``: who does the work of a command, this process alone or workers on Ray."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Any

import typer

from meancache_plan.cli.loading_options import Loading
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
        help="Divide the work among workers on Ray: on the cluster that RAY_ADDRESS names, or that "
        "this machine is in, or else on this machine alone.",
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
Gang = Annotated[
    int | None,
    typer.Option(
        min=2,
        help="How many processes make up a worker: each has a GPU, and together they hold a model "
        "that is too big for one.",
    ),
]
Parallel = Annotated[
    str | None,
    typer.Option(
        help="What a gang divides: the weights (fsdp, by default), or the tokens of each sample "
        "(ulysses)."
    ),
]


@dataclass(frozen=True, slots=True)
class Fleet:
    """The options of workers on Ray, as they were given."""

    ray: bool
    workers: int | None
    gpus: int | None
    gang: int | None = None
    parallel: str | None = None

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

        self._check(loading)
        if not self.ray:
            yield Alone(loading.load(schedule))
            return
        from meancache_plan.fleet.on_ray import joined

        with joined():
            yield self._on_ray(loading, schedule)

    def _check(self, loading: Loading) -> None:
        if not self.ray and any(each is not None for each in self._for_ray):
            raise InputError(
                "--workers, --gpus-per-worker, --gang and --parallel are for workers on Ray: add "
                "--ray"
            )
        if self.ray and loading.device is not None:
            raise InputError(
                f"--device {loading.device}: workers on Ray compute on the GPUs that it gives "
                "them; leave out --device, or give --gpus-per-worker 0 for CPUs"
            )
        if self.parallel is not None and self.gang is None:
            raise InputError(f"--parallel {self.parallel}: say among how many, with --gang")
        if self.gang is not None and (loading.offload != "none" or (self.gpus or 0) > 1):
            raise InputError(
                f"--gang {self.gang}: each process keeps its part of the model on one GPU; leave "
                "out --offload and --gpus-per-worker"
            )
        if self.ray and find_spec("ray") is None:
            raise InputError(
                "--ray needs Ray, which is not installed: run `pip install ./runtime '.[ray]'` in "
                "a checkout of meancache-plan, on every machine of the cluster"
            )

    @property
    def _for_ray(self) -> tuple[object, ...]:
        return self.workers, self.gpus, self.gang, self.parallel

    def _on_ray(self, loading: Loading, schedule: "Schedule | None") -> "RayCrew[Pipeline]":
        from meancache_plan.fleet.on_ray import RayCrew, gpus_of_cluster
        from meancache_plan.fleet.room import Room

        gpus = self.gpus if self.gpus is not None else min(1, gpus_of_cluster())
        device = ("cpu", "cuda:0")[gpus] if gpus < 2 else None
        parallel = None if self.gang is None else self.parallel or "fsdp"
        settled = replace(loading.settled(), device=device, gpus=gpus or 1, parallel=parallel)
        _, recipe = loading.chosen(schedule)
        told = os.environ.get("OMP_NUM_THREADS", "")
        threads = int(told) if told.isdecimal() else 1
        room = Room(gpus, max(1, threads), self.gang or 1)
        return RayCrew(partial(settled.load_as, recipe), _facts, room, self.workers)


def _facts(pipeline: "Pipeline") -> dict[str, Any]:
    """What all workers must agree in."""
    return {
        "model": pipeline.identity().model_dump(mode="json"),
        "versions": pipeline.versions() | {"meancache-plan": __version__},
    }
