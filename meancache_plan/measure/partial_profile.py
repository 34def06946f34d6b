"""A calibration that is under way: its finished samples, kept until the profile is written."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic_core import to_jsonable_python
from torch import Tensor

from meancache_plan.core.propagation import Choice, Finish, choose, propagation
from meancache_plan.core.psnr import moments
from meancache_plan.core.trajectory import Trajectory
from meancache_plan.errors import InputError
from meancache_plan.files.atomic import check_writable
from meancache_plan.files.differing_settings import differences
from meancache_plan.files.journal import Journal, Part, belongs_to_another, beside, drop
from meancache_plan.measure.profile import (
    Profile,
    ProfileSettings,
    SampleMeasurement,
    measure,
    save_profile,
)
from meancache_plan.source.any_device import ANY, is_of_device, on_any_device

WORK, REMEDY = "calibration", "choose another file"


class Job(NamedTuple):
    """One sample to record: its place in prompts × seeds (prompt-major), and what it is."""

    number: int
    prompt_index: int
    prompt: str
    seed: int


class MeasuredSample(NamedTuple):
    """A sample that was measured: what is kept of it, and the settings that it was made with.

    With its full run's latents [T + 1, …], where these are to be kept too.
    """

    job: Job
    settings: ProfileSettings
    values: dict[str, Any]
    tensors: dict[str, Tensor]
    latents: Tensor | None = None


def measured(
    request: dict[str, Any], job: Job, trajectory: Trajectory, seconds: float, finish: Finish
) -> MeasuredSample:
    """Measure a sample.

    Args:
        request: As :class:`Partial` has it.
        job: Which sample.
        trajectory: Its full run.
        seconds: Mean seconds of a step.
        finish: Runs this sample's last steps from other latents.
    """
    settings = _with(request, _told_by(trajectory))
    found = measure(trajectory.columns, settings.sigmas, settings.index)
    propagation = propagated(settings, job, trajectory, finish)
    arrays = {"gram": found.gram, "l1": found.l1}
    arrays |= {} if propagation is None else {"propagation": propagation}
    values = {"seconds": seconds, "moments": moments(trajectory.latents[-1])}
    return MeasuredSample(
        job, settings, values, {name: torch.from_numpy(array) for name, array in arrays.items()}
    )


class Partial:
    """The samples of a profile file that is not whole yet, in ``FILE.unfinished/``.

    Args:
        path: The profile's file.
        request: All settings that are known before the first run; ``max_edge`` None means T.

    Raises:
        InputError: ``path`` cannot be a profile's file, or the folder belongs to another
            calibration.
    """

    def __init__(self, path: Path, request: dict[str, Any]) -> None:
        check_writable(path)
        self.path = path
        self._request = {name: value for name, value in request.items() if name != "command"}
        self._anywhere = request["versions"].get("device") == ANY
        known = self._request | {"versions": on_any_device(request["versions"])}
        self._journal = Journal(beside(path), to_jsonable_python(known), WORK, REMEDY)
        told = self._journal.find("settings", None)
        self._settings: ProfileSettings | None = None
        if told is not None:
            self._go_on(ProfileSettings.model_validate_json(told.value))

    def has(self, job: Job) -> bool:
        """Whether this sample is done."""
        return self._settings is not None and self._find(job) is not None

    def keep(self, sample: MeasuredSample) -> None:
        """Keep a sample.

        Raises:
            InputError: Its settings, such as its grid or its latents' shape, are not those of the
                other samples.
        """
        if self._settings is None:
            self._claim(sample.settings)
        assert self._settings is not None
        self._check(sample.settings.compared(), self._settings, self._journal.folder)
        self._journal.keep("sample", self._inputs(sample.job), sample.values, sample.tensors)

    def finish(self, jobs: Sequence[Job]) -> None:
        """Write the profile of these samples, all of which are done, and drop them."""
        found = [self._find(job) for job in jobs]
        settings, parts = self._settings, [part for part in found if part is not None]
        if settings is None or len(parts) < len(jobs) or self.path.exists():
            raise InputError(
                f"{self.path}: was written, or samples were removed, by somebody else meanwhile: "
                "give every shard and every run a file of its own"
            )
        kept = [{name: each.numpy() for name, each in part.tensors().items()} for part in parts]
        profile = assemble(
            settings,
            jobs,
            [SampleMeasurement(each["gram"], each["l1"]) for each in kept],
            [part.value["seconds"] for part in parts],
            [np.array(part.value["moments"]) for part in parts],
            [each.get("propagation") for each in kept],
        )
        save_profile(profile, self.path)
        self.remove()

    def remove(self) -> None:
        """Drop the finished samples: they are in the profile."""
        drop(self._journal.folder)

    def check_profile(self, profile: Profile, jobs: Sequence[Job]) -> None:
        """Refuse a finished profile of another calibration."""
        found = profile.settings.anywhere() if self._anywhere else profile.settings
        self._check(self._asked_for(found), found, self.path)
        if [job.number for job in jobs] != profile.sample_index.tolist():
            raise InputError(
                f"{self.path}: holds other samples of this calibration (another shard?); choose "
                "another file, or delete it"
            )

    def _go_on(self, found: ProfileSettings) -> None:
        """Take up samples of these settings, unless another kind of device made them."""
        if self._anywhere:
            self._claim(found.anywhere())
            return
        here = found.model_copy(update={"versions": self._request["versions"]})
        self._check(here.compared(), found, self._journal.folder)
        self._settings = found

    def _claim(self, settings: ProfileSettings) -> None:
        self._journal.keep("settings", None, settings.model_dump_json())
        self._settings = settings

    def _find(self, job: Job) -> Part | None:
        return self._journal.find("sample", self._inputs(job))

    def _inputs(self, job: Job) -> list[Any]:
        """What a sample is found by; on which kind of device it was made is in the settings."""
        return [job.number, self._settings and self._settings.anywhere().compared()]

    def _asked_for(self, found: ProfileSettings) -> dict[str, Any]:
        """The settings of a profile, but for what is requested; they need not fit each other."""
        longest = min(self._request["max_edge"] or found.steps, found.steps)
        asked = to_jsonable_python(self._request) | {"max_edge": longest}
        wanted = found.compared() | asked
        return wanted if found.num_inference_steps else wanted | {"num_inference_steps": None}

    def _check(self, wanted: dict[str, Any], found: ProfileSettings, place: Path) -> None:
        """Refuse to mix two calibrations."""
        for difference in differences(found.compared(), wanted):
            device = is_of_device(difference.name)
            remedy = f"add --any-device, {REMEDY}" if device else REMEDY
            raise InputError(belongs_to_another(place, WORK, difference, remedy))


def _with(request: dict[str, Any], told: dict[str, Any]) -> ProfileSettings:
    """The requested settings, with what only a run tells."""
    steps = len(told["sigmas"]) - 1
    longest = min(request["max_edge"] or steps, steps)
    return ProfileSettings.model_validate({**request, **told, "max_edge": longest})


TOLD = ("sigmas", "latent_shape", "displaced", "replaces", "switches", "calls", "still_steps")
"""Settings that only a run tells."""


def _told_by(trajectory: Trajectory) -> dict[str, Any]:
    shape = tuple(trajectory.latents.shape[1:])
    return {name: shape if name == "latent_shape" else getattr(trajectory, name) for name in TOLD}


def propagated(
    settings: ProfileSettings, job: Job, trajectory: Trajectory, finish: Finish
) -> NDArray[np.float64] | None:
    """How errors of a sample propagate, float64 [P]; None if that is measured on others only."""
    positions, samples = _chosen(settings)
    if job.number not in samples:
        return None
    latents = trajectory.latents.to(trajectory.velocities.dtype)  # the pipeline's own rounding
    return propagation(settings.sigmas, latents, trajectory.columns, positions, finish)


def _chosen(settings: ProfileSettings) -> Choice:
    if not settings.propagation:
        return Choice((), ())
    runs = 2 if settings.displaced else 1
    return choose(settings.steps, settings.samples_total, runs)


def assemble(
    settings: ProfileSettings,
    jobs: Sequence[Job],
    measured: Sequence[SampleMeasurement],
    seconds: Sequence[float],
    scales: Sequence[NDArray[np.float64]],
    propagations: Sequence[NDArray[np.float64] | None],
) -> Profile:
    """The profile of these samples, in this order.

    ``scales`` holds the moments of their final latents; ``propagations`` None where not measured.
    """
    positions, _ = _chosen(settings)
    found = {j.number: p for j, p in zip(jobs, propagations, strict=True) if p is not None}
    return Profile(
        settings=settings,
        sample_index=np.array([job.number for job in jobs], dtype=np.int64),
        prompt_index=np.array([job.prompt_index for job in jobs], dtype=np.int64),
        seeds=np.array([job.seed for job in jobs], dtype=np.int64),
        grams=np.stack([sample.gram for sample in measured]),
        l1=np.stack([sample.l1 for sample in measured]),
        seconds=np.array(seconds, dtype=np.float64),
        moments=np.stack(scales),
        propagation_sigmas=np.array([settings.sigmas[s] for s in positions], dtype=np.float64),
        propagation_index=np.array(list(found), dtype=np.int64),
        propagation=np.array(list(found.values())).reshape(len(found), len(positions)),
    )
