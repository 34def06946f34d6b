"""``calibrate`` and ``merge``: make profiles."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meancache_plan.cli.loading import chosen, load_pipeline
from meancache_plan.cli.options import PROFILE, Device, Model, Offload, Prompts, RecipeName, Seeds
from meancache_plan.console import display, resumable, say, watching
from meancache_plan.errors import InputError

if TYPE_CHECKING:
    from meancache_plan.calibrate import Shard
    from meancache_plan.recipe import Recipe

Guidance = Annotated[float | None, typer.Option(help="Guidance, in the recipe's argument.")]
DTypeName = Annotated[str | None, typer.Option("--dtype", help="float32, bfloat16 or float16.")]
Pixels = Annotated[int | None, typer.Option(help="Pixels (--frames: frames of a video).")]


def calibrate(
    model: Model = None,
    recipe: RecipeName = None,
    prompts: Prompts = None,
    seeds: Seeds = None,
    steps: Annotated[int | None, typer.Option(help="Sampler steps T.")] = None,
    height: Pixels = None,
    width: Pixels = None,
    frames: Pixels = None,
    guidance: Guidance = None,
    device: Device = None,
    dtype: DTypeName = None,
    offload: Offload = "none",
    shard: Annotated[str, typer.Option(help="Part i/n of the samples, for job arrays.")] = "1/1",
    max_edge: Annotated[int | None, typer.Option(help="Longest interval measured; T.")] = None,
    sensitivity: Annotated[
        bool, typer.Option(help="Measure how errors propagate; at most 25 % more work.")
    ] = True,
    reference_steps: Annotated[
        int | None,
        typer.Option(
            help="Reproduce a finer run of so many steps on T; T. At a budget of T, samplers other "
            "than Euler's run unchanged."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would run, and load nothing.")
    ] = False,
    seconds_per_step: Annotated[
        float | None, typer.Option(help="Seconds a refresh, for the hours of --dry-run.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help=f"{PROFILE}, or with its shard's number.")
    ] = None,
) -> None:
    """Measure full-step runs of a pipeline into a profile.

    Interrupted at any moment, the same command goes on where it stopped.

    Example: `meancache-plan calibrate black-forest-labs/FLUX.1-dev -o flux.profile.safetensors`
    """
    from meancache_plan.calibrate import Shard, calibrate
    from meancache_plan.files import check_writable
    from meancache_plan.lock import alone
    from meancache_plan.recipe import check_reference, parse_numbers, read_prompts

    part = Shard.parse(shard)
    output = output or Path(part.suffixed(PROFILE))
    options = {"steps": steps, "height": height, "width": width, "frames": frames}
    options |= {"guidance": guidance, "dtype": dtype, "prompts": prompts, "seeds": seeds}
    if dry_run:
        limits = max_edge, sensitivity, reference_steps
        _foretell(*chosen(model, recipe, options), part, limits, seconds_per_step)
        if model is not None and recipe is None and None in (steps, height, width):
            _say_if_unknown(model)
        return
    if seconds_per_step is not None:
        raise InputError("--seconds-per-step has no effect without --dry-run")
    check_reference(chosen(model, recipe, options)[1], reference_steps)
    check_writable(output)
    with resumable(), alone(output):
        source = load_pipeline(model, recipe, options, device, offload)
        with watching() as watch:
            profile = calibrate(
                source,
                read_prompts(source.recipe.prompts),
                parse_numbers(source.recipe.seeds, "--seeds"),
                output,
                shard=part,
                max_edge=max_edge,
                sensitivity=sensitivity,
                reference_steps=reference_steps,
                progress=watch("calibrating"),
            )
    say(f"{output}: {profile.samples} samples, {profile.steps} steps, {profile.fingerprint[:19]}…")


def _foretell(
    model: str,
    recipe: "Recipe",
    shard: "Shard",
    limits: tuple[int | None, bool, int | None],
    seconds: float | None,
) -> None:
    """Print what a calibration would run; ``limits`` as they follow in :func:`estimate`."""
    from meancache_plan.estimate import estimate
    from meancache_plan.report.estimate_view import estimate_view

    whole, part = (
        estimate(
            recipe,
            shard=each,
            max_edge=limits[0],
            sensitivity=limits[1],
            reference_steps=limits[2],
        )
        for each in (None, shard)
    )
    display(estimate_view(model, whole, part if shard.count > 1 else None, seconds))


def _say_if_unknown(model: str) -> None:
    """Say that what was printed rests on defaults, if no recipe knows the model."""
    from meancache_plan.recipe import Recipe, find_recipe

    if find_recipe(model, None) == Recipe(model=model):
        say(
            f"no recipe is known for {model}: the defaults are assumed; "
            "give --recipe, or --steps and sizes"
        )


def merge(
    profiles: Annotated[list[Path], typer.Argument(help="The shards' profiles.")],
    output: Annotated[Path, typer.Option("-o", "--output")] = Path(PROFILE),
) -> None:
    """Join the profiles of a calibration's shards.

    Example: `meancache-plan merge part1.safetensors part2.safetensors -o all.safetensors`
    """
    from meancache_plan.merge import merge_profiles
    from meancache_plan.profile import load_profile, save_profile

    merged = merge_profiles([load_profile(path) for path in profiles])
    save_profile(merged, output)
    missing = merged.settings.samples_total - merged.samples
    note = f"; {missing} of {merged.settings.samples_total} samples are missing" if missing else ""
    say(f"{output}: {merged.samples} samples of {len(profiles)} profiles{note}")
