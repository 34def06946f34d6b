"""Where a schedule and its figures come from, as names and values."""

from meancache_plan.judge.findings import Evaluation
from meancache_plan.schedule.artifact import Generation, ModelIdentity, Schedule
from meancache_plan.schedule.digest import sha256_of
from meancache_plan.schedule.provenance import Provenance, StartProvenance
from meancache_plan.schedule.pruning import pruned_notes
from meancache_plan.show.payoff import payoff_notes
from meancache_plan.show.terminal.reliability_facts import schedule_facts, start_words
from meancache_runtime.call_settings import shown

Facts = list[tuple[str, str]]


def provenance_data(schedule: Schedule, evaluation: Evaluation | None) -> Facts:
    """Everything that tells this schedule and these figures from others; hashes in full."""
    grid = schedule.grid
    sigmas = "any" if grid.sigmas is None else f"σ {grid.sigmas[0]:.4g} → {grid.sigmas[-1]:.4g}"
    own = f"{sha256_of(schedule)}; a file of another SHA-256 is not the one that this page is about"
    facts = [("schedule", own), *_model(schedule.model)]
    tolerance = "" if grid.sigmas is None else f", tolerance {grid.tolerance:g}"
    facts.append(("grid", f"{grid.steps} steps, {sigmas}{tolerance}"))
    if grid.replaces is not None:
        facts.append(("in place of", f"the steps of {grid.replaces}"))
    if grid.finer_steps is not None:
        facts.append(("aims at", f"a run of {grid.finer_steps} steps"))
    if grid.switches:
        facts.append(("other denoisers", f"from step {', '.join(map(str, grid.switches))}"))
    facts.append(("generation", generation_words(schedule.generation)))
    if schedule.starting is not None:
        facts += _starting(schedule.starting)
    if schedule.calibrated is not None:
        facts += _planning(schedule.calibrated)
    facts += [("left out", note) for note in pruned_notes(schedule)]
    facts += [("what it gains", note) for note in payoff_notes(schedule)]
    return facts if evaluation is None else facts + _judging(evaluation)


def generation_words(made: Generation | None) -> str:
    """Size, frames, dtype, guidance and settings of the calibration samples."""
    if made is None:
        return "any"
    size = [] if made.height is None else [f"{made.width} × {made.height} pixels"]
    frames = [] if made.frames is None else [f"{made.frames} frames"]
    asked = [f"{name} {shown(value)}" for name, value in made.asked.items()]
    return ", ".join([*size, *frames, made.dtype, *asked])


def _model(model: ModelIdentity | None) -> Facts:
    if model is None:
        return [("model", "any")]
    named = {
        "model": model.id,
        "revision": model.revision,
        "denoiser": model.fingerprint,
        "pipeline": model.pipeline,
        "scheduler": model.scheduler,
        "adapters": ", ".join(adapter.name for adapter in model.adapters),
    }
    return [(name, value) for name, value in named.items() if value]


def _starting(made: StartProvenance) -> Facts:
    rule = made.start
    numbers = (
        f"knots lie by a step's width on a grid of shift {rule.shift:g} to the power "
        f"{rule.width:g} times the published plans' density to the power {rule.tilt:g}"
    )
    like = f"{rule.plans} plans, of schedules of the SHA-256 {rule.published}"
    planned = f"{start_words(rule.source)}; {numbers}"
    return [("made by", made.tool), ("planned by", planned), ("published plans", like)]


def _planning(made: Provenance) -> Facts:
    planned = (
        f"{made.planner} over {', '.join(made.predictors)}; metric {made.metric}, weighting "
        f"{made.weighting}, {made.statistic} over samples, γ = {made.gamma:g}, edges up to "
        f"{made.max_edge} steps"
    )
    source = made.transferred_from
    carried = "" if source is None else f", carried over from {source}"
    return [
        ("made by", made.tool),
        ("planned by", planned),
        *_refining(made),
        ("profile", f"{made.profile}, {made.samples} samples{carried}"),
        *schedule_facts(made.reliability).items(),
    ]


def _refining(made: Provenance) -> Facts:
    """That plans are the best of many, replayed; none where none was."""
    refined = [record for record in made.plans if record.validated]
    if not refined:
        return []
    budgets = ", ".join(str(record.budget) for record in refined)
    tried = sorted({len(record.candidates) for record in refined})
    most = f", each the best of up to {tried[-1]} candidates" if tried[-1] else ""
    return [
        (
            "refined by replay",
            f"the plans of the budgets {budgets}{most} on calibration prompts",
        )
    ]


def _judging(evaluation: Evaluation) -> Facts:
    versions = ", ".join(f"{name} {version}" for name, version in evaluation.versions.items())
    seeds = ", ".join(map(str, evaluation.seeds))
    return [
        ("judged on", f"{evaluation.prompts} held-out prompts with seeds {seeds}"),
        ("prompts", evaluation.prompts_sha256),
        ("device", evaluation.device),
        ("versions", versions),
    ]
