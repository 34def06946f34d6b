"""``calibrate`` and ``merge``: make profiles."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meancache_plan.cli.loading_options import Loading, Overrides
from meancache_plan.cli.noted_commands import given, note
from meancache_plan.cli.ray_options import Fleet, Gang, GpusPerWorker, Parallel, Ray, Workers
from meancache_plan.cli.shared_options import (
    PROFILE,
    AnyDevice,
    Batch,
    Device,
    Model,
    Offload,
    Prompts,
    RecipeName,
    Seeds,
)
from meancache_plan.errors import InputError
from meancache_plan.show.terminal.console import display, resumable, say, watching

if TYPE_CHECKING:
    from meancache_plan.measure.profile_settings import Measuring
    from meancache_plan.measure.shards import Shard

Guidance = Annotated[
    float | None,
    typer.Option(help="Strength of guidance, given in the argument that the recipe names."),
]
DTypeName = Annotated[
    str | None,
    typer.Option("--dtype", help="Precision of the weights: float32, bfloat16 or float16."),
]
Height = Annotated[int | None, typer.Option(help="Height of the samples in pixels.")]
Width = Annotated[int | None, typer.Option(help="Width of the samples in pixels.")]
Frames = Annotated[int | None, typer.Option(help="Frames of a video.")]


def calibrate(
    context: typer.Context,
    model: Model = None,
    recipe: RecipeName = None,
    prompts: Prompts = None,
    seeds: Seeds = None,
    steps: Annotated[
        int | None, typer.Option(help="How many steps the sampler takes without a schedule.")
    ] = None,
    height: Height = None,
    width: Width = None,
    frames: Frames = None,
    guidance: Guidance = None,
    device: Device = None,
    dtype: DTypeName = None,
    offload: Offload = "none",
    shard: Annotated[
        str,
        typer.Option(
            help="Record only this part of the samples, such as 2/8; merge joins the parts."
        ),
    ] = "1/1",
    ray: Ray = False,
    workers: Workers = None,
    gpus_per_worker: GpusPerWorker = None,
    gang: Gang = None,
    parallel: Parallel = None,
    any_device: AnyDevice = False,
    batch: Batch = 1,
    max_edge: Annotated[
        int | None,
        typer.Option(help="Longest interval to measure, in steps; by default the whole run."),
    ] = None,
    propagation: Annotated[
        bool,
        typer.Option(
            help="Measure how errors grow towards the sample, for better plans; at most a quarter "
            "more work."
        ),
    ] = True,
    finer_steps: Annotated[
        int | None,
        typer.Option(
            help="Steps of a finer run to aim at; by default, the run of --steps itself. A plan "
            "whose budget is all steps leaves a sampler other than Euler's unchanged."
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Only say what would run, and for how long; load nothing."),
    ] = False,
    runs: Annotated[
        Path | None,
        typer.Option(
            help="A folder to keep the full runs of the first seed in, for refine --runs: one more "
            "than --steps latents a sample. Shards may share it.",
        ),
    ] = None,
    seconds_per_step: Annotated[
        float | None,
        typer.Option(
            help="Seconds that a sampler step takes, from which --dry-run works out the hours."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help=f"The profile to write: by default {PROFILE}, with its number if it is a part.",
        ),
    ] = None,
) -> None:
    """Measure full runs of a pipeline into a profile.

    If it is interrupted, run the same command again: it resumes where it stopped.

    Example: `meancache-plan calibrate black-forest-labs/FLUX.1-dev -o flux.profile.safetensors`
    """
    from meancache_plan.core.grid import check_finer_steps
    from meancache_plan.files.atomic import check_writable
    from meancache_plan.files.journal import beside
    from meancache_plan.files.lock import alone
    from meancache_plan.measure.calibrate import calibrate
    from meancache_plan.measure.profile_settings import Measuring
    from meancache_plan.measure.shards import Shard
    from meancache_plan.source.full_runs import FullRuns, check_folder
    from meancache_plan.source.recipe import parse_numbers, read_prompts

    part = Shard.parse(shard)
    output = output or Path(part.suffixed(PROFILE))
    overrides = Overrides(steps, height, width, frames, guidance, dtype, prompts, seeds)
    loading = Loading(model, recipe, overrides, device, offload, any_device=any_device)
    how = Measuring(batch, max_edge, propagation, finer_steps)
    fleet = Fleet(ray, workers, gpus_per_worker, gang, parallel)
    if dry_run:
        devices = gang or gpus_per_worker or 1
        _foretell(loading, how, part, seconds_per_step, workers or 1, devices)
        if model is not None and recipe is None and None in (steps, height, width):
            _say_if_unknown(model)
        return
    if seconds_per_step is not None:
        raise InputError("--seconds-per-step has no effect without --dry-run")
    _, chosen = loading.chosen()
    texts, numbers = read_prompts(chosen.prompts), parse_numbers(chosen.seeds, "--seeds")
    check_finer_steps(finer_steps, chosen.steps)
    check_writable(output)
    if runs is not None:
        check_folder(runs)
    with resumable(), alone(beside(output)), fleet.crew(loading) as crew, watching() as watch:
        profile = calibrate(
            crew,
            texts,
            numbers,
            output,
            how,
            shard=part,
            runs=runs,
            command=note("calibrate", given(context)),
            progress=watch("calibrating"),
        )
    steps, digest = profile.settings.run_steps, profile.fingerprint[:19]
    say(f"{output}: {profile.samples} samples, {steps} steps, {digest}…")
    if runs is not None:
        kept = FullRuns.within(runs, profile.settings.full_run)
        found = sum(kept.find(text, numbers[0]) is not None for text in texts)
        say(f"{runs}: full runs of {found} of {len(texts)} prompts; refine makes what is missing")


def _foretell(
    loading: Loading,
    how: "Measuring",
    shard: "Shard",
    seconds: float | None,
    workers: int,
    devices: int,
) -> None:
    """Print what a calibration would run, and how long."""
    from meancache_plan.measure.estimate import estimate
    from meancache_plan.show.terminal.estimate_view import estimate_view

    model, recipe = loading.chosen()
    whole, part = (estimate(recipe, how, shard=each) for each in (None, shard))
    own = part if shard.count > 1 else None
    display(estimate_view(model, whole, own, seconds, workers, devices))


def _say_if_unknown(model: str) -> None:
    """Say that what was printed rests on defaults, if no recipe knows the model."""
    from meancache_plan.source.recipe import Recipe, find_recipe

    if find_recipe(model, None) == Recipe(model=model):
        say(
            f"no recipe is known for {model}: the defaults are assumed; "
            "give --recipe, or --steps and sizes"
        )


def merge(
    profiles: Annotated[
        list[Path],
        typer.Argument(help="The profiles of the parts, as calibrate --shard wrote them."),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="The profile to write.")] = Path(
        PROFILE
    ),
    any_device: AnyDevice = False,
) -> None:
    """Join the profiles of a calibration's shards.

    Example: `meancache-plan merge part1.safetensors part2.safetensors -o all.safetensors`
    """
    from meancache_plan.files.atomic import check_writable
    from meancache_plan.measure.profile import load_profile, save_profile
    from meancache_plan.measure.shards import merge_profiles

    check_writable(output, profiles)
    merged = merge_profiles([load_profile(path) for path in profiles], any_device=any_device)
    save_profile(merged, output)
    missing = merged.settings.samples_total - merged.samples
    note = f"; {missing} of {merged.settings.samples_total} samples are missing" if missing else ""
    say(f"{output}: {merged.samples} samples of {len(profiles)} profiles{note}")
