"""What a run is asked for, beside what the calibration samples were asked for."""

from collections.abc import Mapping
from typing import Any

from .annotations import Generation

FRAMES = "num_frames"
"""What pipelines call the frames of a video."""


def stated(arguments: Mapping[str, Any], made: Generation) -> dict[str, float]:
    """Of a diffusers pipeline's arguments, the numbers that a schedule speaks of, by its names."""
    names = {"height": "height", "width": "width", "frames": FRAMES}
    names |= {name: name for name in made.guidance}
    found = {name: arguments.get(argument) for name, argument in names.items()}
    numbers = {name: value for name, value in found.items() if isinstance(value, int | float)}
    return {name: value for name, value in numbers.items() if not isinstance(value, bool)}


def others(asked: Mapping[str, float | None], made: Generation) -> list[str]:
    """In what a run differs from the samples that a schedule was calibrated on, in words.

    Args:
        asked: Its ``height``, ``width``, ``frames`` and guidance scales, by diffusers' names; what
            is None or not there is left to the model, and nothing is said of it.
        made: How the calibration samples were made; None in it says nothing either.

    Example:
        >>> others({"height": 96}, Generation(64, 64, None, {}, "float32"))
        ['this request has height 96, and the schedule was calibrated with 64']
    """
    sizes = {"height": made.height, "width": made.width, "frames": made.frames}
    pairs = ((name, asked.get(name), there) for name, there in {**sizes, **made.guidance}.items())
    return [
        f"this request has {name} {here:g}, and the schedule was calibrated with {there:g}"
        for name, here, there in pairs
        if here is not None and there is not None and here != there
    ]
