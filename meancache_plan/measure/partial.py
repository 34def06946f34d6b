"""A calibration that is under way: its finished samples, each kept as a file of its own."""

import shutil
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from meancache_plan.core.propagation import Choice, Finish, choose, propagation
from meancache_plan.core.psnr import moments
from meancache_plan.core.trajectory import Trajectory
from meancache_plan.errors import InputError
from meancache_plan.files.atomic import check_writable, write_atomically
from meancache_plan.measure.profile import (
    Profile,
    ProfileSettings,
    SampleMeasurement,
    measure,
    save_profile,
)
from meancache_runtime.strict_json import shorten


class Job(NamedTuple):
    """One sample to record: its place in prompts × seeds (prompt-major), and what it is."""

    number: int
    prompt_index: int
    prompt: str
    seed: int


class Partial:
    """The samples of a profile file that is not whole yet, in ``FILE.partial/``.

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
        self.folder = path.with_name(path.name + ".partial")
        self._header = self.folder / "settings.json"
        self._request = request
        self._settings = self._read_settings()

    @contextmanager
    def open(self) -> Generator[None]:
        """Make the folder, without samples of unknown settings; leave none behind if empty."""
        try:
            self.folder.mkdir(exist_ok=True)
            if not self._header.exists():  # nobody knows what these were samples of
                for stale in self.folder.glob("*.safetensors"):
                    stale.unlink()
        except OSError as error:
            raise InputError(
                f"{self.folder}: cannot be made ({error.strerror}): finished samples are kept "
                "there; choose another place with -o"
            ) from error
        try:
            yield
        finally:
            with suppress(OSError):
                self.folder.rmdir()

    def has(self, job: Job) -> bool:
        """Whether this sample is done."""
        return self._settings is not None and self._file(job).exists()

    def keep(
        self,
        job: Job,
        trajectory: Trajectory,
        seconds: float,
        finish: Finish,
    ) -> None:
        """Measure a sample and keep it.

        Args:
            job: Which one.
            trajectory: Its full run.
            seconds: Mean seconds of a step.
            finish: Runs this sample's last steps from other latents.

        Raises:
            InputError: Its grid, its latents' shape or its change of denoisers is not that of the
                other samples.
        """
        settings = self._with(_told_by(trajectory))
        if self._settings is None:
            trajectory.check_euler()
            write_atomically(self._header, settings.model_dump_json(indent=1).encode())
            self._settings = settings
        self._check(settings, self._settings)
        found = measure(trajectory.columns, settings.sigmas, settings.index)
        tensors = {"gram": found.gram, "l1": found.l1, "seconds": np.array([seconds])}
        tensors["moments"] = np.array(moments(trajectory.latents[-1]))
        propagation = propagated(settings, job, trajectory, finish)
        tensors |= {} if propagation is None else {"propagation": propagation}
        write_atomically(self._file(job), safetensors.numpy.save(tensors))

    def finish(self, jobs: Sequence[Job]) -> None:
        """Write the profile of these samples, all of which are done, and drop the folder."""
        settings = self._settings
        if settings is None or self.path.exists():
            raise InputError(
                f"{self.path}: was written, or {self.folder} removed, by somebody else meanwhile: "
                "give every shard and every run a file of its own with -o"
            )
        kept = [self._load(job) for job in jobs]
        measured = [SampleMeasurement(item["gram"], item["l1"]) for item in kept]
        seconds = [float(item["seconds"][0]) for item in kept]
        scales = [item["moments"] for item in kept]
        propagations = [item.get("propagation") for item in kept]
        found = assemble(settings, jobs, measured, seconds, scales, propagations)
        save_profile(found, self.path)
        self.remove()

    def remove(self) -> None:
        """Drop the finished samples: they are in the profile. Samples go first, then settings."""
        if self.folder.is_dir():
            for file in self.folder.glob("*.safetensors"):
                file.unlink()
            shutil.rmtree(self.folder)

    def check_profile(self, profile: Profile, jobs: Sequence[Job]) -> None:
        """Refuse a finished profile of another calibration."""
        self._check(self._with(_told(profile.settings)), profile.settings)
        if [job.number for job in jobs] != profile.sample_index.tolist():
            raise InputError(
                f"{self.path}: holds other samples of this calibration (another shard?); choose "
                "another file with -o, or delete it"
            )

    def _file(self, job: Job) -> Path:
        return self.folder / f"{job.number:06d}.safetensors"

    def _load(self, job: Job) -> dict[str, Any]:
        try:
            return safetensors.numpy.load(self._file(job).read_bytes())
        except (OSError, safetensors.SafetensorError) as error:
            raise InputError(
                f"{self._file(job)}: not readable ({error}); delete it and run again"
            ) from error

    def _read_settings(self) -> ProfileSettings | None:
        if not self._header.exists():
            return None
        try:
            settings = ProfileSettings.model_validate_json(self._header.read_bytes())
        except (OSError, ValueError) as error:
            raise InputError(
                f"{self._header}: not readable; delete {self.folder} to start afresh"
            ) from error
        self._check(self._with(_told(settings)), settings)
        return settings

    def _with(self, told: dict[str, Any]) -> ProfileSettings:
        """The requested settings, with what only a run tells."""
        steps = len(told["sigmas"]) - 1
        longest = min(self._request["max_edge"] or steps, steps)
        return ProfileSettings.model_validate({**self._request, **told, "max_edge": longest})

    def _check(self, wanted: ProfileSettings, found: ProfileSettings) -> None:
        """Refuse to mix two calibrations."""
        for name in (each for each in ProfileSettings.model_fields if each != "command"):
            here, there = getattr(wanted, name), getattr(found, name)
            if here != there:
                known = [each.name for each in (self.path, self.folder) if each.exists()]
                raise InputError(
                    f"{self.path}: belongs to another calibration: "
                    f"{_difference(name, there, here)}; choose another file with -o, or delete "
                    f"{' and '.join(known)}"
                )


DIGESTS = {"prompts_sha256": "the prompts differ", "seeds_sha256": "the seeds differ"}
"""Settings of which a digest alone is kept, and what to say of two."""


def _difference(name: str, there: object, here: object) -> str:
    values = f"{name} is {shorten(str(there))} there and {shorten(str(here))} here"
    return DIGESTS.get(name, values)


TOLD = ("sigmas", "latent_shape", "displaced", "replaces", "switches")
"""Settings that only a run tells."""


def _told(settings: ProfileSettings) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in TOLD}


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
