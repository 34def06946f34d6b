"""Lines that a reader copies: how to replay a plan, and how to make what a page lacks."""

import keyword
import re
import shlex
import unicodedata
from typing import Any

from meancache_plan.schedule.artifact import PlanEntry, Schedule
from meancache_plan.source.catalog import NAMED, REFERENCE
from meancache_plan.source.recipe import Recipe, find_recipe, further_arguments, nested

ANY_MODEL = "YOUR/MODEL"
"""Stands for the model where a schedule fits any."""

ANY_FILE = "schedule.json"
"""Stands for the schedule's file where its name is not repeated."""

_COMMIT = re.compile(r"[0-9a-f]{40}")


def usage_data(schedule: Schedule, name: str) -> list[dict[str, Any]]:
    """Blocks of lines, each with a text a plan, in the plans' order.

    Args:
        schedule: Whose plans to use.
        name: The schedule file's name, as it stands in the lines.
    """
    model, name = model_name(schedule), file_name(name)
    file, source = shlex.quote(name), shlex.quote(model)
    replay = [_python(schedule, plan, name) for plan in schedule.plans]
    look = [
        f"meancache-plan generate {source} --schedule {file} --budget {plan.budget} \\\n"
        f'    --prompt "a red apple" --compare -o compare.png'
        for plan in schedule.plans
    ]
    judge = [
        f"meancache-plan evaluate {source} --schedule {file} --budget {plan.budget}"
        for plan in schedule.plans
    ]
    return [
        {
            "title": "Replay this plan: needs meancache-runtime and the pipeline's own libraries",
            "texts": replay,
        },
        {"title": "See it on a prompt of your own", "texts": look},
        {"title": "Judge it on held-out prompts", "texts": judge},
    ]


def remedies(schedule: Schedule, name: str) -> dict[str, str]:
    """Commands that add what a page lacks: ``profile``, ``evaluation``, ``samples``."""
    model, file = shlex.quote(model_name(schedule)), shlex.quote(file_name(name))
    judge = f"meancache-plan evaluate {model} --schedule {file} --samples judged"
    report = f"meancache-plan report {file} --samples judged -o report.html"
    return {
        "profile": (
            f"meancache-plan calibrate {model} -o model.profile.safetensors\n"
            f"meancache-plan report {file} --profile model.profile.safetensors -o report.html"
        ),
        "evaluation": f"{judge}\n{report}",
        "samples": f"{judge}\n{report}",
    }


def model_name(schedule: Schedule) -> str:
    """The model that the schedule names, as commands take it; a placeholder for odd names.

    A name that hides or reorders what a reader copies, or is an option, is not repeated.
    """
    name = ANY_MODEL if schedule.model is None else schedule.model.id
    return ANY_MODEL if name.startswith("-") or _is_odd(name) else name


def file_name(name: str, instead: str = ANY_FILE) -> str:
    """A file's or folder's name as commands take it, never an option; ``instead`` of an odd one."""
    if _is_odd(name):
        return instead
    return f"./{name}" if name.startswith("-") else name


def _is_odd(name: str) -> bool:
    """Whether it hides or reorders what a reader copies: control and format characters.

    Schedules come from strangers, and these lines go into a shell; quoting alone shows a reader
    something else than is run.
    """
    return any(unicodedata.category(c)[0] == "C" for c in name)


def _python(schedule: Schedule, plan: PlanEntry, name: str) -> str:
    model, made = schedule.model, schedule.generation
    pipeline = _class_name(None if model is None else model.pipeline)
    recipe = find_recipe(model_name(schedule), None)
    usual = "float32" if recipe.pipeline is None else recipe.dtype
    dtype = usual if made is None else made.dtype
    half = dtype in ("bfloat16", "float16")
    embedded = model_name(schedule) in NAMED
    arguments = ",\n".join(f"        {line}" for line in call_lines(schedule))
    return "\n".join(
        [
            *(["import torch"] if half else []),
            f"from diffusers import {pipeline}",
            *(["from meancache_plan.source.catalog import reference_pipeline"] if embedded else []),
            "from meancache_runtime import attach, load_schedule",
            "",
            f"pipe = {pipeline}.from_pretrained({_source(schedule, dtype if half else None)})",
            f"with attach(pipe, load_schedule({name!r}), budget={plan.budget}):",
            f"    result = pipe(\n{arguments},\n    )",
        ]
    )


def _source(schedule: Schedule, dtype: str | None) -> str:
    """The arguments of ``from_pretrained``."""
    model, name = schedule.model, model_name(schedule)
    known = "reference_pipeline()" if name == REFERENCE else f"reference_pipeline({name!r})"
    parts = [known if name in NAMED else repr(name)]
    if model is not None and model.revision is not None and _COMMIT.fullmatch(model.revision):
        parts.append(f"revision={model.revision!r}")
    if dtype is not None:
        parts.append(f"torch_dtype=torch.{dtype}")
    return ", ".join(parts)


def call_lines(schedule: Schedule) -> list[str]:
    """The arguments of the pipeline's call: what the schedule fixes, and the recipe's own."""
    recipe: Recipe = find_recipe(model_name(schedule), None)
    named: dict[str, Any] = {"num_inference_steps": schedule.grid.steps}
    if recipe.negative_prompt is not None:
        named["negative_prompt"] = recipe.negative_prompt
    if schedule.generation is not None:
        made = schedule.generation
        sizes = {"height": made.height, "width": made.width, "num_frames": made.frames}
        named |= {key: value for key, value in sizes.items() if value is not None}
        named |= {key: value for key, value in made.guidance.items() if _is_name(key)}
    elif recipe.guidance is not None:
        named[recipe.guidance_argument] = recipe.guidance
    others = further_arguments(recipe, schedule.generation)
    named |= {key: value for key, value in nested(others).items() if _is_name(key)}
    return ['"a red apple"', *(f"{key}={value!r}" for key, value in named.items())]


def _class_name(pipeline: str | None) -> str:
    return pipeline if pipeline is not None and _is_name(pipeline) else "DiffusionPipeline"


def _is_name(text: str) -> bool:
    """Whether it may stand in code as a name; a file's text could be anything."""
    return text.isascii() and text.isidentifier() and not keyword.iskeyword(text)
