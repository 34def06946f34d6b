"""A live pipeline as a source: what it is called with is its recipe."""

from collections.abc import Mapping
from typing import Any, get_args

from torch import nn

from meancache_plan.errors import InputError
from meancache_plan.schedule.artifact import Schedule
from meancache_plan.source.diffusers import call_arguments as calls
from meancache_plan.source.diffusers import pipeline_identity
from meancache_plan.source.diffusers.pipeline import Pipeline
from meancache_plan.source.recipe import OURS, DType, Recipe, override
from meancache_runtime.call_settings import differing, filled
from meancache_runtime.hosts.diffusers import identity
from meancache_runtime.hosts.diffusers.guiders import defaults
from meancache_runtime.hosts.diffusers.intercept import is_intercepted
from meancache_runtime.hosts.diffusers.precision import dtype

STEPS = "num_inference_steps"

GUIDANCE = ("true_cfg_scale", "guidance_scale")
"""Arguments that say how strongly samples are guided; the first that is given counts."""

FIELDS = {"height": "height", "width": "width", "num_frames": "frames"}
"""Arguments that a schedule notes, and the recipe's names for them."""

COMPARED = ("height", "width", "frames", "dtype")
"""What of a schedule's ``generation`` has to be that of the samples that it is judged on."""

NOT_OURS = {
    "sigmas": "the noise levels are the scheduler's own, at any number of steps",
    "timesteps": "the noise levels are the scheduler's own, at any number of steps",
    "latents": "samples begin with the noise of their seeds",
    "num_images_per_prompt": "give each sample a seed",
    "num_videos_per_prompt": "give each sample a seed",
    "return_dict": "results are read by name",
}
"""Arguments that a call must leave alone, and why."""


def at_hand(pipe: Any, call: Mapping[str, Any] | None = None) -> Pipeline:
    """Whatever somebody holds as a source: a diffusers pipeline as it is, or a :class:`Pipeline`.

    Args:
        pipe: A flow-matching diffusers pipeline: quantised, with adapters, compiled, offloaded or
            of a class of one's own. It is left as it was found. Or a ``Pipeline``, as it is.
        call: The arguments that it is called with, without prompt and generator: a mapping,
            as each class of pipelines has others. Steps that are not given are the pipeline's
            own default, and so is everything else.

    Raises:
        InputError: It is attached to a schedule, or an argument is not allowed or not valid.
        UnsupportedPipelineError: It is no such pipeline.
    """
    if isinstance(pipe, Pipeline):
        if call is not None:
            raise InputError("call is for a diffusers pipeline: this source has a recipe")
        return pipe
    if is_intercepted(pipe):
        raise InputError(f"{type(pipe).__name__} already follows a schedule: detach it first")
    given = dict(call or {})
    for name in sorted(given.keys() & (OURS | NOT_OURS.keys()) - {STEPS}):
        raise InputError(
            f"call: leave out {name}: {NOT_OURS.get(name, 'every sample has its own')}"
        )
    known_as = getattr(pipe, "name_or_path", None) or type(pipe).__name__
    name, commit = pipeline_identity.origin(pipe, str(known_as))
    steps = given.pop(STEPS, None)
    steps = _steps(pipe) if steps is None else steps
    plain = {"model": name, "dtype": _dtype(pipe), "steps": steps}
    for argument in GUIDANCE:
        if given.get(argument) is not None:
            plain |= {"guidance_argument": argument, "guidance": given.pop(argument)}
            break
    plain |= {FIELDS[name]: given.pop(name) for name in FIELDS.keys() & given.keys()}
    held = {k: v for k, v in given.items() if isinstance(v, str | bool | int | float)}
    values = {k: v for k, v in given.items() if k not in held}
    source = Pipeline(pipe, override(Recipe(), **plain, call=held), name, commit, values)
    source.call_arguments()
    return source


def _steps(pipe: Any) -> int:
    """The steps that a pipeline takes if it is not told otherwise."""
    known = calls.parameters(pipe).get(STEPS)
    if known is None or not isinstance(known.default, int):
        raise InputError(
            f"{type(pipe).__name__} has no default number of steps: put {STEPS} in call"
        )
    return known.default


def _dtype(pipe: Any) -> str:
    """The precision of the weights that are not quantised, the denoisers' first."""
    said = dtype(pipe)
    if said is not None and said in get_args(DType):
        return said
    others = [each for each in vars(pipe).values() if isinstance(each, nn.Module)]
    for module in (*identity.denoisers(pipe).values(), *others):
        for parameter in module.parameters():
            name = str(parameter.dtype).removeprefix("torch.")
            if name in get_args(DType):
                return name
    raise InputError(f"{type(pipe).__name__} has no weights in {', '.join(get_args(DType))}")


def check_call(source: Pipeline, schedule: Schedule) -> None:
    """Refuse samples that are made otherwise than those that a schedule was made for.

    Raises:
        InputError: The steps, a size, a setting, the guidance or the precision differs.
    """
    made, here_made = schedule.generation, source.generation()
    pairs: dict[str, tuple[Any, Any]] = {STEPS: (source.recipe.steps, schedule.grid.steps)}
    if made is not None:
        pairs |= {name: (getattr(here_made, name), getattr(made, name)) for name in COMPARED}
        own = defaults(source.pipe)
        pairs |= differing(*(filled(each.replayable(), own) for each in (here_made, made)))
    for name, (here, there) in pairs.items():
        if None not in (here, there) and here != there:
            raise InputError(
                f"{name} is {here} here, and the schedule was made for {there}: call the pipeline "
                "as it was calibrated, or calibrate this call"
            )
