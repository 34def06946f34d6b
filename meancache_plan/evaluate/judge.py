"""Judge a schedule by replaying it on held-out prompts, beside what one would use instead."""

import hashlib
import importlib.metadata
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch

from meancache_plan.adapters.diffusers import Pipeline, Sample
from meancache_plan.artifact import Measured, Plan, Schedule, to_bytes
from meancache_plan.errors import InputError
from meancache_plan.evaluate import metrics
from meancache_plan.evaluate.contenders import Contender, contenders
from meancache_plan.evaluate.result import HIGHER_IS_BETTER, Evaluation, PerSample, Row, Shot
from meancache_plan.recipe import digest
from meancache_plan.version import __version__
from meancache_runtime import ReplayStats, attach
from meancache_runtime import Schedule as ReplaySchedule
from meancache_runtime.identity import denoisers
from meancache_runtime.intercept import Interception

Progress = Callable[[int, int], None]
"""Called with (samples generated, samples to generate in all)."""


class Figures(NamedTuple):
    """What one sample of one contender measures; the PSNR of latents waits for their range."""

    calls: int
    seconds: float
    latent_error: float
    pictures: dict[str, float]


@dataclass(slots=True)
class _Results:
    """What has been measured so far."""

    figures: dict[Contender, list[Figures]]
    moments: list[tuple[float, float]] = field(default_factory=lambda: [])
    shots: list[Shot] = field(default_factory=lambda: [])


def evaluate(
    pipeline: Pipeline,
    schedule: Schedule,
    prompts: Sequence[str],
    seeds: Sequence[int],
    *,
    budgets: Sequence[int] | None = None,
    rivals: Mapping[str, Schedule] | None = None,
    lpips: bool = False,
    shots: int = 0,
    witness: Callable[[Shot], None] = lambda shot: None,
    progress: Progress = lambda done, total: None,
) -> Evaluation:
    """Compare plans with their baselines, sample by sample, against the full trajectory.

    For each prompt and seed: all T steps once, then, for each budget and with as many denoiser
    refreshes as the plan has, the plan, uniform knots with ``hold``, uniform knots with ``adams``
    (order 2), and a plain run of fewer steps. They take turns within a sample, so that their
    timings suffer the same conditions.

    Args:
        pipeline: The pipeline, not attached, with its settings.
        schedule: What to judge.
        prompts: Held-out prompts, none of which the schedule was fitted on.
        seeds: Seeds of the initial noise, each used with every prompt.
        budgets: Which of the schedule's plans; all by default.
        rivals: Other schedules to judge beside it, by the name of their rows.
        lpips: Measure LPIPS too; see :func:`meancache_plan.evaluate.metrics.load_lpips`.
        shots: Keep the pictures of the first ``shots`` prompts (first seed) in the result.
        witness: Shown the pictures of every sample as it is made; see
            :class:`meancache_plan.evaluate.samples.SampleFolder`.
        progress: Told after every generated sample.

    Raises:
        InputError: There is no prompt or seed, or a sample is not finite.
        BudgetError: The schedule has no plan for one of the budgets.
        MeanCacheError: The pipeline does not fit the schedule; see ``meancache_runtime.attach``.
    """
    if not prompts or not seeds:
        raise InputError("nothing to evaluate on: give at least one prompt and one seed")
    entrants = contenders(schedule, budgets, rivals)
    judges: dict[str, metrics.PictureMetric] = {
        "psnr": metrics.picture_psnr,
        "ssim": metrics.ssim,
        "flip": metrics.flip,
    }
    if lpips:
        judges["lpips"] = metrics.load_lpips()
    results = _Results({contender: [] for contender in entrants})
    _warm_up(pipeline, entrants, prompts[0], seeds[0])
    jobs = [(prompt, seed) for prompt in prompts for seed in seeds]
    done, total = 0, len(jobs) * len(entrants)
    for prompt, seed in jobs:
        keep = prompt in prompts[:shots] and seed == seeds[0]
        for shot in _compete(pipeline, prompt, seed, results, judges):
            results.shots.extend([shot] if keep else [])
            witness(shot)
            done += 1
            progress(done, total)
    return _conclude(pipeline, schedule, prompts, seeds, results)


def replay(
    pipeline: Pipeline, schedule: ReplaySchedule, budget: int, prompt: str, seed: int
) -> tuple[Sample, ReplayStats]:
    """Make one sample with a schedule; return it and what the run did."""
    with attach(pipeline.pipe, schedule, budget=budget) as attachment:
        sample = pipeline.generate(prompt, seed, steps=schedule.grid.steps)
    return sample, attachment.stats


def _generate(
    pipeline: Pipeline, contender: Contender, prompt: str, seed: int
) -> tuple[Sample, int]:
    """Make one sample; return it and the denoiser's forward calls."""
    if contender.schedule is not None:
        sample, stats = replay(pipeline, contender.schedule, contender.budget, prompt, seed)
        return sample, stats.denoiser_calls
    with _counted(pipeline.pipe) as calls:
        sample = pipeline.generate(prompt, seed, steps=contender.steps)
    return sample, len(calls)


@contextmanager
def _counted(pipe: Any) -> Generator[list[str]]:
    """Collect the name of the denoiser at each of its forward calls."""
    calls: list[str] = []

    def counting(name: str, module: Any) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            calls.append(name)
            return module(*args, **kwargs)

        return call

    modules = denoisers(pipe)
    overrides = {name: {"__call__": counting(name, module)} for name, module in modules.items()}
    interception = Interception(pipe, overrides, nullcontext)
    try:
        yield calls
    finally:
        interception.remove()


def _warm_up(pipeline: Pipeline, entrants: list[Contender], prompt: str, seed: int) -> None:
    """Let lazy initialisation, autotuning and compilation happen before anything is timed."""
    pipeline.generate(prompt, seed, steps=2)
    _generate(pipeline, entrants[1], prompt, seed)


def _compete(
    pipeline: Pipeline,
    prompt: str,
    seed: int,
    results: _Results,
    judges: dict[str, metrics.PictureMetric],
) -> Iterator[Shot]:
    """Make one prompt and seed's sample in every way, the full one first; log the figures."""
    full: Sample | None = None
    for contender, figures in results.figures.items():
        sample, calls = _generate(pipeline, contender, prompt, seed)
        if not (torch.isfinite(sample.latents).all() and np.isfinite(sample.frames).all()):
            raise InputError(
                f"{contender.method} at budget {contender.budget}: the sample for {prompt!r} is "
                "not finite: the model overflows; try another dtype"
            )
        if full is None:
            full = sample
            results.moments.append(metrics.moments(full.latents))
        error = metrics.mean_square(full.latents, sample.latents)
        pictures = {name: judge(full.frames, sample.frames) for name, judge in judges.items()}
        figures.append(Figures(calls, sample.seconds, error, pictures))
        yield Shot(
            prompt, seed, contender.method, contender.budget, calls, pictures["psnr"], sample.frames
        )


def _conclude(
    pipeline: Pipeline,
    schedule: Schedule,
    prompts: Sequence[str],
    seeds: Sequence[int],
    results: _Results,
) -> Evaluation:
    value_range = metrics.latent_range(results.moments)
    entries = list(results.figures.items())
    full_seconds = float(np.mean([figures.seconds for figures in entries[0][1]]))
    rows = [
        _row(contender, figures, value_range, len(prompts), full_seconds)
        for contender, figures in entries
    ]
    return Evaluation(
        model=pipeline.identity(),
        schedule_sha256=_sha256(schedule),
        steps=schedule.grid.steps,
        prompts_sha256=digest(prompts),
        prompts=len(prompts),
        seeds=tuple(seeds),
        latent_range=value_range,
        device=_device(pipeline.device),
        versions={
            "meancache-plan": __version__,
            **pipeline.versions(),
            "torchmetrics": importlib.metadata.version("torchmetrics"),
            "flip-evaluator": importlib.metadata.version("flip-evaluator"),
        },
        rows=tuple(rows),
        shots=tuple(results.shots),
    )


def _row(
    contender: Contender,
    figures: list[Figures],
    value_range: float,
    prompts: int,
    full_seconds: float,
) -> Row:
    values = {"psnr_latent": [metrics.psnr(f.latent_error, value_range) for f in figures]}
    values |= {name: [f.pictures[name] for f in figures] for name in figures[0].pictures}
    quality: dict[str, Any] = {}
    for name, data in values.items():
        quality[name] = float(np.mean(data))
        quality[f"{name}_interval"] = _interval(data, prompts)
        quality[f"{name}_worst"] = min(data) if HIGHER_IS_BETTER[name] else max(data)
    times = [f.seconds for f in figures]
    seconds = float(np.mean(times))
    return Row(
        method=contender.method,
        budget=contender.budget,
        calls=max(f.calls for f in figures),
        **quality,
        seconds=seconds,
        speedup=full_seconds / seconds,
        samples=len(figures),
        per_sample=PerSample.model_validate({"lpips": None, **values, "seconds": times}),
    )


def _interval(values: list[float], prompts: int) -> tuple[float, float]:
    """Interval of the mean: seeds of one prompt are alike, so prompts are what is resampled."""
    by_prompt = np.reshape(values, (prompts, -1))
    return metrics.bootstrap_interval(by_prompt.mean(axis=1) if prompts > 1 else values)


def _device(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type}, {torch.get_num_threads()} threads"


def _sha256(schedule: Schedule) -> str:
    return "sha256:" + hashlib.sha256(to_bytes(schedule)).hexdigest()


def with_measured(schedule: Schedule, evaluation: Evaluation) -> Schedule:
    """The schedule with the measured quality noted in every plan that was evaluated.

    Raises:
        InputError: The evaluation is of another schedule.
    """
    if evaluation.schedule_sha256 != _sha256(schedule):
        raise InputError("the evaluation is of another schedule: evaluate this one")
    found = {row.budget: row for row in evaluation.rows if row.method == "plan"}

    def note(plan: Plan) -> Plan:
        row = found.get(plan.budget)
        if row is None:
            return plan
        measured = Measured(
            psnr_latent=row.psnr_latent,
            psnr=row.psnr,
            ssim=row.ssim,
            speedup=row.speedup,
            samples=row.samples,
            prompts=evaluation.prompts_sha256,
        )
        return plan.model_copy(update={"measured": measured})

    return schedule.model_copy(update={"plans": tuple(note(plan) for plan in schedule.plans)})
