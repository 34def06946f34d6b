"""``MEANCACHE.md``: what a schedule beside a model's weights is, and how good it is."""

import shlex
from collections.abc import Iterator, Sequence

from meancache_plan.core.psnr import CEILING
from meancache_plan.judge.findings import PLAN, Evaluation, Row
from meancache_plan.judge.other_requests import words as request_words
from meancache_plan.measure.profile import Profile
from meancache_plan.schedule.artifact import PlanEntry, Schedule
from meancache_plan.schedule.pruning import known_quality
from meancache_plan.ship.markdown import block, code, table, text
from meancache_plan.show.lines_to_copy import model_name, usage_data
from meancache_plan.show.page.provenance_data import provenance_data
from meancache_runtime.annotations import Value
from meancache_runtime.call_settings import shown
from meancache_runtime.snapshot import FILE_NAME, HUB_ID


def model_card(
    schedule: Schedule,
    *,
    evaluation: Evaluation | None = None,
    profile: Profile | None = None,
    licence: str,
    commands: Sequence[str] = (),
) -> str:
    """The page in Markdown.

    Args:
        schedule: What it is about.
        evaluation: Of this schedule, on held-out prompts.
        profile: What it was solved from.
        licence: Of the schedule.
        commands: Command lines that make such a schedule again.
    """
    name = code(model_name(schedule))
    parts = [
        f"# MeanCache schedule for {name}",
        f"{code(FILE_NAME)} tells {name} at which of its {schedule.grid.steps} sampler steps the "
        "denoiser has to run; the other steps reuse velocities that are already known. It is "
        "data: no weights, no code. `meancache-runtime` replays it, and needs nothing beside.",
        "## Use",
        *_use(schedule),
        "## Quality",
        *_quality(schedule, evaluation),
        "## Limits",
        _items(_limits(schedule)),
        "## Licence",
        f"The schedule: {text(licence)}.",
        "## Provenance",
        _items(_provenance(schedule, evaluation, profile)),
    ]
    if commands:
        parts += ["## Make it again", block(commands, "sh")]
    return "\n\n".join(parts) + "\n"


def _use(schedule: Schedule) -> list[str]:
    """Lines that are complete, for the plan in the middle; and where else a schedule is found."""
    middle = len(schedule.budgets) // 2
    budget = schedule.budgets[middle]
    name = model_name(schedule)
    replay = usage_data(schedule, FILE_NAME)[0]["texts"][middle]
    beside = code(f"attach(pipe, budget={budget})")
    hub = repr(name if HUB_ID.fullmatch(name) else "OWNER/NAME")
    fetched = code(f"attach(pipe, load_schedule({hub}), budget={budget})")
    return [
        block(["pip install meancache-runtime"], "sh"),
        "In the folder of this file:",
        block([replay], "python"),
        f"A pipeline that is loaded from this folder finds the schedule itself: {beside}. One "
        f"that is loaded from the hub comes without it: {fetched} fetches it from the model's "
        "repository, if it is there. The table below has the budgets.",
    ]


def _quality(schedule: Schedule, evaluation: Evaluation | None) -> list[str]:
    if evaluation is not None:
        return [_measured(schedule, evaluation), _measured_on(evaluation)]
    if any(plan.measured for plan in schedule.plans):
        return [_noted(schedule), _noted_on(schedule)]
    model = shlex.quote(model_name(schedule))
    command = f"meancache-plan evaluate {model} --schedule {FILE_NAME} --record"
    known = (
        "these are starting plans, or they were made elsewhere, and nothing was predicted"
        if schedule.calibrated is None
        else "the figures below are predicted from the calibration"
    )
    return [
        f"Nothing was measured: {known}. To measure it on held-out prompts:",
        block([command], "sh"),
        _efforts(schedule) if schedule.calibrated is None else _predicted(schedule),
    ]


def _measured(schedule: Schedule, evaluation: Evaluation) -> str:
    full = evaluation.rows[0]
    heads = (
        "budget", "refreshes", "fewer calls", "latent PSNR, dB", "95 % interval", "worst tenth",
        "picture PSNR, dB", "SSIM", "speed-up",
    )  # fmt: skip
    found = {row.budget: row for row in evaluation.rows if row.method == PLAN}
    rows = [_figures(plan, found.get(plan.budget), full) for plan in schedule.plans]
    return table(heads, rows)


def _figures(plan: PlanEntry, row: Row | None, full: Row) -> list[str]:
    start = [str(plan.budget), str(len(plan.knots))]
    if row is None:
        return start + ["–"] * 7
    latents = row.figure("psnr_latent")
    low, high = latents.interval
    return [
        *start,
        f"{full.mean('calls') / row.mean('calls'):.2f} ×",
        _decibels(latents.mean),
        f"{_decibels(low)} – {_decibels(high)}",
        _decibels(latents.worst_tenth),
        _decibels(row.mean("psnr")),
        f"{row.mean('ssim'):.4f}",
        f"{row.speedup or 1:.2f} ×",
    ]


def _measured_on(evaluation: Evaluation) -> str:
    seeds = ", ".join(map(str, evaluation.seeds))
    samples = evaluation.prompts * len(evaluation.seeds)
    steps = evaluation.finer_steps or evaluation.steps
    return (
        f"Measured on {evaluation.prompts} held-out prompts ({samples} samples, seeds {seeds}) "
        f"against all {steps} steps, on {text(evaluation.device)}: means; the 95 % "
        "interval is of the mean, by bootstrap over prompts; worst tenth: mean latent PSNR of the "
        "worst tenth of the samples; speed-up: of the pipeline's whole call. The report beside "
        "this file shows what else was compared."
    )


def _noted(schedule: Schedule) -> str:
    heads = ("budget", "refreshes", "fewer refreshes", "latent PSNR, dB", "picture PSNR, dB",
             "SSIM", "speed-up")  # fmt: skip
    rows = [
        [*_effort(schedule, plan), "–", "–", "–", "–"]
        if (found := plan.measured) is None
        else [
            *_effort(schedule, plan),
            _decibels(found.psnr_latent),
            _decibels(found.psnr),
            f"{found.ssim:.4f}",
            f"{found.speedup:.2f} ×",
        ]
        for plan in schedule.plans
    ]
    return table(heads, rows)


def _noted_on(schedule: Schedule) -> str:
    measured = {(p.measured.samples, p.measured.prompts) for p in schedule.plans if p.measured}
    where = "; ".join(f"{samples} samples of {code(prompts)}" for samples, prompts in measured)
    return f"Means, measured on held-out prompts against all steps, as the schedule notes: {where}."


def _predicted(schedule: Schedule) -> str:
    heads = ("budget", "refreshes", "fewer refreshes", "latent PSNR predicted, dB")
    rows: list[list[str]] = []
    for plan in schedule.plans:
        quality = known_quality(schedule, plan.budget)
        words = "–" if quality is None else _decibels(quality.psnr_latent)
        rows.append([*_effort(schedule, plan), words])
    return table(heads, rows)


def _efforts(schedule: Schedule) -> str:
    heads = ("budget", "refreshes", "fewer refreshes")
    return table(heads, [_effort(schedule, plan) for plan in schedule.plans])


def _effort(schedule: Schedule, plan: PlanEntry) -> list[str]:
    refreshes = len(plan.knots)
    return [str(plan.budget), str(refreshes), f"{schedule.grid.steps / refreshes:.2f} ×"]


def _decibels(value: float) -> str:
    return "same" if value >= CEILING else f"{value:.1f}"


def _limits(schedule: Schedule) -> Iterator[str]:
    grid, made, model = schedule.grid, schedule.generation, schedule.model
    if grid.sigmas is None:
        yield (
            f"It is for any noise levels of {grid.steps} steps. A run with another number of steps "
            "is refused."
        )
    else:
        yield (
            f"It is for {grid.steps} steps from σ = {grid.sigmas[0]:.4g} to "
            f"{grid.sigmas[-1]:.4g}. A run with another number of steps, or with noise levels "
            f"more than {grid.tolerance:g} off, is refused."
        )
    if grid.replaces is not None:
        yield f"Its steps replace those of {code(grid.replaces)}; other samplers are refused."
    if made is not None:
        size = [f"{made.width} × {made.height} pixels"] if made.height is not None else []
        size += [f"{made.frames} frames"] if made.frames is not None else []
        asked = [f"{code(name)} {_value(value)}" for name, value in made.asked.items()]
        words = ", ".join([*size, code(made.dtype), *asked])
        yield f"It was made for {words}. Another request is followed with a warning."
        yield from _also(schedule)
    if model is not None:
        adapters = "the adapters " + ", ".join(code(adapter.name) for adapter in model.adapters)
        made_for = "is for the model" if schedule.calibrated is None else "was made"
        found = adapters if model.adapters else "no adapters"
        yield f"It {made_for} with {found} (LoRA and the like)."


def _value(value: Value) -> str:
    return code(value) if isinstance(value, str) else shown(value)


def _also(schedule: Schedule) -> Iterator[str]:
    """The other requests at which plans were measured, each once."""
    found: dict[str, list[str]] = {}
    for plan in schedule.plans:
        for row in plan.also:
            figure = f"{row.measured.psnr_latent:.1f} dB with {plan.budget} refreshes"
            found.setdefault(request_words(row.request), []).append(figure)
    for request, figures in found.items():
        yield f"It was measured with {text(request)} too, in PSNR of latents: {', '.join(figures)}."


def _provenance(
    schedule: Schedule, evaluation: Evaluation | None, profile: Profile | None
) -> Iterator[str]:
    if schedule.provenance is None:
        yield "It was made elsewhere, or imported from published plans."
    for name, value in provenance_data(schedule, evaluation):
        yield f"{text(name)}: {text(value)}"
    if profile is None:
        return
    made = profile.settings
    yield (
        f"calibration: {profile.samples} of {made.samples_total} samples, errors' propagation "
        f"{'measured' if made.propagation else 'not measured'}"
    )
    yield f"calibration prompts: {code(made.prompts_sha256)}, seeds {code(made.seeds_sha256)}"
    yield "calibrated with: " + ", ".join(f"{text(k)} {text(v)}" for k, v in made.versions.items())


def _items(lines: Iterator[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)
