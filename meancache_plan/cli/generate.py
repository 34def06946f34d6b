"""``generate``: one sample with a schedule."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meancache_plan.cli.loading_options import Loading
from meancache_plan.cli.shared_options import Device, Model, Offload, RecipeName, ScheduleFile
from meancache_plan.errors import InputError
from meancache_plan.show.terminal.console import say

if TYPE_CHECKING:
    from meancache_plan.source.diffusers.pipeline import Sample


def generate(
    model: Model = None,
    prompt: Annotated[
        str, typer.Option("--prompt", "-p", help="What the sample should show.")
    ] = "",
    schedule: ScheduleFile = Path("schedule.json"),
    budget: Annotated[
        int | None,
        typer.Option(
            help="Steps that run the denoiser: a budget of the schedule, by default the largest."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the noise.")] = 0,
    recipe: RecipeName = None,
    device: Device = None,
    offload: Offload = "none",
    compare: Annotated[
        bool,
        typer.Option(
            "--compare",
            help="Make the sample with all steps too, and show both and their difference.",
        ),
    ] = False,
    output: Annotated[Path, typer.Option("-o", "--output", help="The picture to write.")] = Path(
        "out.png"
    ),
) -> None:
    """Generate one sample with a schedule.

    Example: `meancache-plan generate --prompt "a red apple" --compare -o out.png`
    """
    from meancache_plan.judge.replay import replay
    from meancache_plan.schedule.artifact import load_schedule
    from meancache_plan.show.images import sample_images

    if not prompt:
        raise InputError('--prompt is missing: say what to show, such as --prompt "a red apple"')
    sample_images.check_output(output)
    plan = load_schedule(schedule)
    chosen = plan.plans[-1].budget if budget is None else budget
    source = Loading(model, recipe, device=device, offload=offload).load(plan)
    cached, stats = replay(source, plan.replayable(), chosen, prompt, seed)
    steps = stats.refreshes + stats.cached_steps
    told = f"{stats.refreshes} of {steps} steps refreshed ({stats.denoiser_calls} denoiser calls)"
    if compare:
        full = source.generate(prompt, seed)
        told += f", {_likeness(full, cached)}"
        labels = f"full, {plan.grid.steps} steps", f"plan, {stats.refreshes} refreshes"
        sample_images.side_by_side(full.frames, cached.frames, labels, output)
    else:
        sample_images.save_frames(cached.frames, output)
    say(f"{output}: {told}")


def _likeness(full: "Sample", cached: "Sample") -> str:
    """How close the cached run's pictures come to the full run's: their PSNR, in words."""
    from meancache_plan.core.psnr import CEILING
    from meancache_plan.judge.likeness import picture_psnr

    found = picture_psnr(full.frames, cached.frames)
    if found >= CEILING:
        return "the same picture as the full run's"
    return f"picture PSNR {found:.1f} dB against the full run"
