"""From samples to rows: means with their intervals, or why a peer has none."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from meancache_plan.core.bootstrap import bootstrap_interval
from meancache_plan.core.psnr import latent_range, psnr
from meancache_plan.judge.compare.contest import Contest
from meancache_plan.judge.compare.kept import Failed, Run, Sample
from meancache_plan.judge.compare.peer import Peer
from meancache_plan.judge.compare.result import (
    QUALITIES,
    Comparison,
    Figures,
    PerSample,
    Row,
    Spread,
)
from meancache_plan.source.recipe import digest


def conclude(
    contest: Contest, samples: Sequence[Sample], schedule_sha256: str, calls_per_step: int
) -> Comparison:
    """The comparison that these samples make; the full run is its first row.

    Args:
        contest: Who competed on what.
        samples: Prompt by prompt, each with all seeds.
        schedule_sha256: Digest of the judged schedule.
        calls_per_step: Denoiser calls of one step.
    """
    value_range = latent_range([sample.moments for sample in samples])
    pipeline = contest.pipeline
    return Comparison(
        model=pipeline.identity(),
        schedule_sha256=schedule_sha256,
        steps=contest.steps,
        calls_per_step=calls_per_step,
        prompts_sha256=digest(contest.prompts),
        prompts=len(contest.prompts),
        seeds=contest.seeds,
        counted=min(contest.counted, len(samples)),
        latent_range=value_range,
        device=_device(pipeline.device),
        versions=contest.versions(),
        rows=tuple(
            _row(contest, peer, samples, value_range) for peer in (contest.full, *contest.peers)
        ),
    )


def _device(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type}, {torch.get_num_threads()} threads"


def _row(contest: Contest, peer: Peer, samples: Sequence[Sample], value_range: float) -> Row:
    outcomes = [sample.outcomes[peer.key] for sample in samples]
    about: dict[str, Any] = {"peer": peer.name, "setting": peer.setting}
    about |= {"steps": peer.steps, "budget": peer.budget}
    failed = next((o for o in outcomes if isinstance(o, Failed)), None)
    if failed is not None:
        return Row(**about, failure=failed.reason)
    runs = [outcome for outcome in outcomes if isinstance(outcome, Run)]
    full = [sample.outcomes[contest.full.key] for sample in samples]
    quality = _qualities(runs, value_range)
    costs = _costs(runs, [each.seconds for each in full if isinstance(each, Run)], contest.steps)
    prompts = len(contest.prompts)
    spreads = {n: _spread(v, prompts, QUALITIES.get(n, False)) for n, v in quality.items()}
    spreads |= {n: _spread(v, prompts, higher=False) for n, v in costs.items() if v}
    kept = {**quality, "relative_seconds": costs["relative_seconds"]}
    missing = {"psnr_flow": None, "lpips": None, "memory": None}
    return Row(
        **about,
        figures=Figures.model_validate({**missing, **spreads}),
        per_sample=PerSample.model_validate({"psnr_flow": None, "lpips": None, **kept}),
    )


def _qualities(runs: Sequence[Run], value_range: float) -> dict[str, list[float]]:
    found = {"psnr_latent": [psnr(run.latent_error, value_range) for run in runs]}
    flow = [run.flow_error for run in runs if run.flow_error is not None]
    found |= {"psnr_flow": [psnr(error, value_range) for error in flow]} if flow else {}
    return found | {name: [run.pictures[name] for run in runs] for name in runs[0].pictures}


def _costs(runs: Sequence[Run], full: Sequence[float], steps: int) -> dict[str, list[float]]:
    """Costs sample by sample; empty where nothing was measured."""
    return {
        "refreshes": [steps * run.flops for run in runs if run.flops is not None],
        "whole_refreshes": [steps * run.whole for run in runs if run.whole is not None],
        "relative_seconds": [run.seconds / other for run, other in zip(runs, full, strict=True)],
        "seconds": [run.seconds for run in runs],
        "calls": [float(run.calls) for run in runs],
        "memory": [float(run.memory) for run in runs if run.memory is not None],
    }


def _spread(values: Sequence[float], prompts: int, higher: bool) -> Spread:
    """Seeds of one prompt are alike, so prompts are what is resampled, where all were measured."""
    whole = prompts > 1 and len(values) % prompts == 0
    independent = np.reshape(values, (prompts, -1)).mean(axis=1).tolist() if whole else values
    return Spread(
        mean=float(np.mean(values)),
        interval=bootstrap_interval(independent),
        worst=min(values) if higher else max(values),
    )
