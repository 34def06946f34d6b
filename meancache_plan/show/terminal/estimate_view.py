"""What a calibration would run, as a small table."""

from rich.console import Group, RenderableType
from rich.text import Text

from meancache_plan.measure.estimate import Estimate
from meancache_plan.show.terminal.widgets import fact_list
from meancache_plan.source.recipe import Recipe

UNKNOWN = "unknown without the model"
CAVEAT = (
    "Nothing was loaded or run. Loading and text encoders come on top; nothing is decoded. "
    "Estimated for Euler steps: with another sampler a trajectory is twice as large and the "
    "profile up to four times, and Heun's calls the denoiser twice per step."
)


def estimate_view(
    model: str,
    whole: Estimate,
    part: Estimate | None = None,
    seconds: float | None = None,
    workers: int = 1,
    devices: int = 1,
) -> RenderableType:
    """Names and values, at most 80 columns.

    Args:
        model: What would be loaded.
        whole: All shards.
        part: One of them, if it is one of several.
        seconds: Seconds a refresh takes.
        workers: How many divide the samples among themselves.
        devices: How many each of them takes.

    Raises:
        InputError: ``seconds`` is not a positive number.
    """
    recipe, steps = whole.recipe, whole.finer_steps
    facts = {
        "model": model,
        "pipeline": recipe.pipeline or UNKNOWN,
        "settings": _settings(recipe),
        "samples": f"{whole.prompts} × {whole.seeds} (prompts × seeds) = {whole.samples:,}",
        "full runs": f"{whole.samples:,} × {steps} steps = {whole.full:,} refreshes",
        "propagation": f"{whole.propagation:,} refreshes",
        "in all": _work(whole),
        "trajectory": _memory(whole),
        "profile": _size(whole.profile_bytes),
    }
    if seconds is not None:
        facts["time"] = _time(whole, seconds)
        if workers > 1:
            facts[f"{workers} workers"] = _shared(whole, seconds, workers, devices)
    if part is not None:
        name = f"shard {part.shard.number}/{part.shard.count}"
        facts[name] = f"{part.samples:,} samples, {_work(part)}"
        facts["its profile"] = _size(part.profile_bytes)
        facts |= {} if seconds is None else {"its time": _time(part, seconds)}
    return Group(fact_list(facts), Text(CAVEAT, style="dim"))


def _settings(recipe: Recipe) -> str:
    """Steps, size, guidance and dtype of a recipe's samples."""
    guidance = (
        [] if recipe.guidance is None else [f"{recipe.guidance_argument} {recipe.guidance:g}"]
    )
    return ", ".join([f"{recipe.steps} steps", _pixels(recipe), *guidance, recipe.dtype])


def _pixels(recipe: Recipe) -> str:
    """Pixels and frames, as far as a recipe says."""
    pixels = "" if recipe.height is None else f"{recipe.width} × {recipe.height}"
    frames = "" if recipe.frames is None else f"{recipe.frames} frames"
    return ", ".join(filter(None, (pixels, frames))) or "the pipeline's own size"


def _work(found: Estimate) -> str:
    least = "" if found.recipe.pipeline or found.branches > 1 else "at least "
    return f"{found.refreshes:,} refreshes, {least}{found.calls:,} denoiser calls"


def _memory(found: Estimate) -> str:
    if found.trajectory_bytes is None:
        return f"{2 * found.finer_steps + 1} latents; their shape is {UNKNOWN}"
    shape = " × ".join(map(str, found.recipe.latent_shape or ()))
    together = "" if found.batch == 1 else f"{found.batch} × "
    latents = f"{together}{2 * found.finer_steps + 1} latents of {shape}"
    return f"{latents}: at most {_size(found.trajectory_bytes)} on the device"


def _time(found: Estimate, seconds: float) -> str:
    return f"{_lasting(found.hours(seconds))} at {seconds:g} s per refresh"


def _lasting(hours: float) -> str:
    return f"{hours:,.3g} hours" if hours >= 1 else f"{60 * hours:.3g} minutes"


def _shared(found: Estimate, seconds: float, workers: int, devices: int) -> str:
    """The time until the last of some workers is done: batches go to them as a whole."""
    batches = -(-found.samples // found.batch)
    rounds = -(-batches // workers)
    hours = found.hours(seconds)
    lasts = _lasting(hours * rounds / batches)
    each = "a device" if devices == 1 else f"{devices} devices"
    return f"{lasts}, if each has {each}; {devices * hours:,.3g} device hours in all"


def _size(count: int) -> str:
    """Bytes, in the largest unit of which there is one."""
    for power, unit in ((3, "GiB"), (2, "MiB"), (1, "KiB")):
        if count >= 1024**power:
            return f"{count / 1024**power:.1f} {unit}"
    return f"{count} bytes"
