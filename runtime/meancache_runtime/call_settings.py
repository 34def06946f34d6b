"""What a diffusers pipeline's call asks for, by the names of a schedule's ``generation``.

Its *settings* are whatever numbers and truth values it is given, also within dictionaries, data
classes and lists, by dotted names (``joint_attention_kwargs.scale``), but for those that are
compared in another way, or that change no velocity.
"""

import hashlib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any

from .annotations import LARGEST, Generation, Value
from .schedule import Schedule
from .strict_json import MAX_TEXT

FRAMES = "num_frames"
"""What pipelines call the frames of a video."""

GUIDER = "guider"
"""What the names of guiders end with that are components of a pipeline."""

NONE = "none"
"""The value of a setting that is not there."""

GUIDANCE = re.compile("guidance|cfg")
"""What a diffusers pipeline's arguments of guidance have in their names."""

NEGATIVE = re.compile(r"negative_prompt(_\d)?")
"""Its negative prompts, one for each text encoder."""

NO_SETTINGS = re.compile(
    r"self|height|width|num_frames|num_inference_steps|sigmas|timesteps|mu|strength|eta|\w*seed|"
    r"\w*generator|num_\w+_per_prompt|\w*batch_size|\w*callback\w*|return_\w+|output_type|decode_\w+|"
    r"\w*safety\w*"
)
"""Arguments that size, noise levels, noise or the run itself tell, or that steer nothing."""

LORA_SCALE = re.compile(r"\w*attention_kwargs\.scale")
"""By what a call multiplies its LoRAs: 1 is what a call without it does."""

DEEPEST = 4
LONGEST = 1000
"""A list of more entries is data, and no setting."""


def settings(arguments: Mapping[str, Any]) -> dict[str, Value]:
    """Of a diffusers pipeline's arguments those that steer its samples, by dotted names.

    Several numbers are a text of them, equal ones that number.

    Example:
        >>> settings({"max_sequence_length": 12, "attention_kwargs": {"scale": 0.5}, "height": 64})
        {'max_sequence_length': 12.0, 'attention_kwargs.scale': 0.5}
        >>> settings({"controlnet_conditioning_scale": [0.5, 0.8], "guess_mode": False})
        {'controlnet_conditioning_scale': '0.5 0.8', 'guess_mode': False}
    """
    steering = {k: v for k, v in arguments.items() if not NO_SETTINGS.fullmatch(k)}
    found = dict(pair for name, value in steering.items() for pair in named(name, value))
    return {k: v for k, v in found.items() if v != 1 or not LORA_SCALE.fullmatch(k)}


def is_setting(name: str) -> bool:
    """Whether a dotted name could be that of a setting of some call."""
    return not NO_SETTINGS.fullmatch(name.partition(".")[0])


def of_guider(name: str) -> bool:
    """Whether a setting is not of the call, but of a guider.

    Example:
        >>> of_guider("ocr_guider.start"), of_guider("guidance_scale")
        (True, False)
    """
    return name.partition(".")[0].endswith(GUIDER)


def named(name: str, value: Any, depth: int = 0) -> Iterator[tuple[str, Value]]:
    """The numbers and truth values in a value of this name, by dotted names."""
    value = _plain(value)
    if is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in fields(value)}
    if depth > DEEPEST or (isinstance(value, list | tuple) and len(value) > LONGEST):
        return
    if isinstance(value, Mapping):
        for key, entry in value.items():
            yield from named(f"{name}.{key}", entry, depth + 1)
    elif isinstance(value, list | tuple):
        together: dict[str, list[Value]] = {}
        for entry in value:
            for key, found in named(name, entry, depth + 1):
                together.setdefault(key, []).append(found)
        yield from ((key, _joined(several)) for key, several in together.items())
    elif (found := _scalar(value)) is not None:
        yield name, found


def _plain(value: Any) -> Any:
    """What an array of any library holds, if it is one number or a row of a few."""
    shape = getattr(value, "shape", None)
    if not isinstance(shape, tuple) or not hasattr(value, "tolist"):
        return value
    try:
        if math.prod(shape) == 1:
            return value.item()
        return value.tolist() if len(shape) == 1 and shape[0] <= LONGEST else None
    except (TypeError, ValueError, RuntimeError):  # a tensor without numbers
        return None


def _scalar(value: Any) -> Value | None:
    if isinstance(value, bool):
        return value
    if not isinstance(value, int | float):
        return None
    number = float(value) if abs(value) <= LARGEST else math.nan
    return number if math.isfinite(number) else str(value)[:MAX_TEXT]


def _joined(values: Sequence[Value]) -> Value:
    if all(value == values[0] for value in values):
        return values[0]
    text = " ".join(map(shown, values))
    return text if len(text) <= MAX_TEXT else f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def shown(value: Value) -> str:
    """A setting as people read it.

    Example:
        >>> shown(5.0), shown(True), shown("0.5 0.8")
        ('5', 'True', '0.5 0.8')
    """
    return str(value) if isinstance(value, str | bool) else f"{value:g}"


def equal(here: Value, there: Value) -> bool:
    """Whether two values are the same, but for a number's rounding to float32."""
    if isinstance(here, int | float) and isinstance(there, int | float):
        return math.isclose(here, there, rel_tol=1e-6)
    return here == there


def other_settings(
    here: Mapping[str, Value], there: Mapping[str, Value]
) -> dict[str, tuple[Value, Value]]:
    """Which of all settings are others: here and there, by names in order.

    Of guiders of two classes only those settings count that both have.

    Example:
        >>> other_settings({"guess_mode": False}, {"max_sequence_length": 12, "guess_mode": False})
        {'max_sequence_length': ('none', 12)}
    """
    names = sorted(here.keys() | there.keys())
    pairs = {name: (here.get(name, NONE), there.get(name, NONE)) for name in names}
    found = {name: pair for name, pair in pairs.items() if not equal(*pair)}
    classes = {name for name in found if of_guider(name) and "." not in name}
    return {
        name: pair
        for name, pair in found.items()
        if name in classes or name.partition(".")[0] not in classes or NONE not in pair
    }


def stated(arguments: Mapping[str, Any], made: Generation | None) -> Mapping[str, Value | None]:
    """Of a diffusers pipeline's arguments what a schedule says beside settings, by its names."""
    if made is None:
        return {}
    names = {"height": "height", "width": "width", "frames": FRAMES}
    names |= {name: name for name in made.guidance}
    found = {name: arguments.get(argument) for name, argument in names.items()}
    seen = {name: _number(value) for name, value in found.items() if value is not None}
    return {**seen, "negative_prompt": negative(arguments)}


def completed(schedule: Schedule, defaults: Mapping[str, Any]) -> Schedule:
    """A schedule that also says which settings its samples had because nothing else was asked for.

    Args:
        schedule: What notes the settings that calibration gave.
        defaults: Of a diffusers pipeline's arguments, by their names.
    """
    made = schedule.generation
    return schedule if made is None else replace(schedule, generation=filled(made, defaults))


def filled(made: Generation, defaults: Mapping[str, Any]) -> Generation:
    """The same of how samples were made."""
    own = guidance(defaults) | dict(made.guidance)
    if made.settings is None:
        return replace(made, guidance=own)
    scales = {name: scale for name, scale in own.items() if name not in made.settings}
    every = {**settings(defaults), **made.settings}
    others = {name: value for name, value in every.items() if name not in scales}
    return replace(made, guidance=scales, settings=others)


def differing(here: Generation, made: Generation) -> dict[str, tuple[Value, Value]]:
    """As :func:`other_settings`, of how samples are made; guidance alone where no more is known."""
    if here.settings is None or made.settings is None:
        known = {name: here.guidance[name] for name in made.guidance if name in here.guidance}
        return other_settings(known, {name: made.guidance[name] for name in known})
    return other_settings({**here.guidance, **here.settings}, {**made.guidance, **made.settings})


def noted(arguments: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Value]:
    """The settings of a call that a schedule has to say, beside guidance: those that it is given.

    A default that it does without, as it is given as None, is ``"none"``.

    Example:
        >>> noted({"cfg_scale": 2.5, "max_sequence_length": None}, {"max_sequence_length": 512})
        {'max_sequence_length': 'none'}
    """
    replaced = {name: value for name, value in defaults.items() if name in arguments}
    left_out = dict.fromkeys(settings(replaced), NONE)
    scales = guidance(arguments)
    return {k: v for k, v in (left_out | settings(arguments)).items() if k not in scales}


def guidance(arguments: Mapping[str, Any]) -> dict[str, float]:
    """Of a diffusers pipeline's arguments the numbers that say how it guides.

    Example:
        >>> guidance({"true_cfg_scale": 4, "guidance_scale_2": None, "cfg_normalization": False})
        {'true_cfg_scale': 4.0}
    """
    given = {k: v for k, v in arguments.items() if GUIDANCE.search(k) and not isinstance(v, bool)}
    numbers = {name: _number(value) for name, value in given.items() if value is not None}
    return {name: value for name, value in numbers.items() if isinstance(value, float)}


def says_something(prompt: Any) -> bool:
    """Whether a prompt, or one of several, is more than white space.

    Example:
        >>> says_something(None), says_something(" "), says_something(["", "blurry"])
        (False, False, True)
    """
    texts = prompt if isinstance(prompt, list | tuple) else [prompt]
    return any(isinstance(text, str) and text.strip() for text in texts)


def negative(arguments: Mapping[str, Any]) -> bool | None:
    """Whether a negative prompt says anything; None where it comes as numbers, or there is none.

    Example:
        >>> negative({"negative_prompt": None, "negative_prompt_2": "blurry"})
        True
    """
    prompts = [value for name, value in arguments.items() if NEGATIVE.fullmatch(name)]
    if not prompts or arguments.get("negative_prompt_embeds") is not None:
        return None
    return any(map(says_something, prompts))


def _number(value: Any) -> Value:
    """A number of whatever library, or as text what is none."""
    try:
        return str(value) if isinstance(value, str | bool) else float(value)
    except (TypeError, ValueError, RuntimeError):  # of one value a sample
        return str(value)
