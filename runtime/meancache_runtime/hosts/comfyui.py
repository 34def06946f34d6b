"""ComfyUI's samplers: a plan as one sampler function in k-diffusion's manner.

A sampler of ComfyUI asks for the denoised picture and not for a velocity, after guidance, masks and
whatever else its graph puts into a model call. Its flow models (``CONST``) have
``denoised = x − σ·velocity``, so that the guided velocity is at hand. Nothing here imports ComfyUI.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from ..aloud import Aloud
from ..arrays import Array, elements, like, widened
from ..binding import bind
from ..call_settings import completed
from ..errors import (
    GridMismatchError,
    StackedCacheError,
    SwitchError,
    UnsupportedSchedulerError,
)
from ..grid import check_grid
from ..requests import warn_of
from ..schedule import Replayable, Schedule, as_schedule
from ..table import Table

TRUE_CFG = "true_cfg_scale"
"""diffusers' name for a scale that always weighs two branches."""

ROUNDING = 2.0**-24
"""How far ComfyUI's noise levels, float32 from 0 to 1, may be off by rounding alone."""


def sampler_function(schedule: Schedule | Replayable, *, budget: int) -> Callable[..., Array]:
    """A sampler function, for ``comfy.samplers.KSAMPLER``, that follows a schedule's plan.

    It is called as k-diffusion's are, ``sample(model, x, sigmas, extra_args=None, callback=None,
    disable=None)``, with all T + 1 noise levels; it calls model and callback at the knots alone,
    once each, and gives the latents at σ_T in the dtype of ``x``. Every run starts afresh.

    Args:
        schedule: What :func:`meancache_runtime.load_schedule` returns, or the compiler's own.
        budget: One of ``schedule.budgets``.

    Raises:
        BudgetError: The schedule has no plan for this budget.
        SwitchError: It was made for a pipeline of two denoisers, which are two samplers here.

    The function itself raises what :func:`check_sigmas` does, and

    - UnsupportedSchedulerError: The model is no flow model, or reads its output in another way.
    - StackedCacheError: EasyCache or LazyCache is at work too.
    - NonFiniteError: The velocity of a knot has NaN or infinite values.
    """
    schedule = as_schedule(schedule)
    plan = schedule.plan(budget)
    if schedule.grid.switches:
        raise SwitchError(
            f"the schedule was made for two denoisers, which take turns at step "
            f"{schedule.grid.switches[0]}; each is a sampler of its own here, and a plan cannot "
            "run through both: use the schedule in diffusers, or calibrate one denoiser alone"
        )

    def sample(
        model: Any,
        x: Array,
        sigmas: Array,
        extra_args: Mapping[str, Any] | None = None,
        callback: Callable[[dict[str, Any]], None] | None = None,
        disable: bool | None = None,
    ) -> Array:
        options = extra_args or {}
        _check_flow(model.inner_model.inner_model.model_sampling)
        _check_alone(options.get("model_options", {}))
        _warn(schedule, budget, x, getattr(model.inner_model, "cfg", None))
        table = Table.of(bind(plan, check_sigmas(schedule, sigmas), schedule.grid.displaced))
        denoise = partial(model, **options)
        return _follow(table, denoise, x, sigmas, callback or (lambda _: None), disable)

    return sample


def _warn(schedule: Schedule, budget: int, latents: Array, scale: float | None) -> None:
    """Say in what a request is unknown, by the name that the schedule has for ComfyUI's scale."""
    name, made = TRUE_CFG, schedule.generation
    if made is not None and made.calls is not None and TRUE_CFG not in made.guidance:
        if max(made.calls) > 1:
            name = next(iter(made.guidance), name)
        else:  # what is noted is told to the model itself
            schedule = completed(schedule, {TRUE_CFG: 1.0})
    warn_of({"elements": elements(latents), name: scale}, schedule, budget)


def _follow(
    table: Table,
    denoise: Callable[..., Array],
    x: Array,
    sigmas: Array,
    callback: Callable[[dict[str, Any]], None],
    disable: bool | None,
) -> Array:
    """Euler steps from knot to knot, with û in place of the velocity; a bar in the console."""
    from tqdm.auto import tqdm

    aloud, machine, ones = Aloud(), table.machine(), x.new_ones([x.shape[0]])
    intervals = zip(table.knots, (*table.knots[1:], table.steps), strict=True)
    for knot, end in tqdm(intervals, total=table.refreshes, disable=disable):
        sigma = sigmas[knot]
        denoised = denoise(x, sigma * ones)
        velocity = (widened(x) - denoised) / sigma
        callback({"x": x, "i": knot, "sigma": sigma, "sigma_hat": sigma, "denoised": denoised})
        x = like(widened(x) + machine.advance(velocity) * (sigmas[end] - sigma), x)
        aloud.say(machine.warning, "unstable")
    return x


def check_sigmas(schedule: Schedule, sigmas: Array) -> tuple[float, ...]:
    """The noise levels of a run, as numbers, if a schedule can be followed on them.

    Args:
        schedule: As :func:`meancache_runtime.load_schedule` returns it.
        sigmas: σ₀ … σ_T, falling: a tensor of shape [T + 1].

    Raises:
        StepCountError: Another number of steps than the schedule's.
        GridMismatchError: Noise levels that are farther off than the schedule allows, or rise.
    """
    levels = tuple(float(sigma) for sigma in sigmas.tolist())
    check_grid(replace(schedule.grid, tolerance=max(schedule.grid.tolerance, ROUNDING)), levels)
    if levels[0] < levels[-1]:
        raise GridMismatchError(
            "this run's noise levels rise, and ComfyUI's samplers lead from noise to the picture: "
            "connect sigmas that fall to 0, or use this schedule where it was calibrated"
        )
    return levels


def _check_flow(sampling: Any) -> None:
    """Refuse a model sampling with another rule than ``denoised = x − σ·velocity``."""
    const = next((c for c in type(sampling).__mro__ if c.__name__ == "CONST"), None)
    own = getattr(sampling.calculate_denoised, "__func__", None)
    if const is None or own is not const.__dict__["calculate_denoised"]:
        bases = ", ".join(c.__name__ for c in type(sampling).__mro__[:-1])
        raise UnsupportedSchedulerError(
            f"this model's sampling ({bases}) does not say denoised = x − σ·velocity, as CONST of "
            "flow models does: use a flow-matching model, or take out the node that replaces its "
            "model sampling"
        )


def _check_alone(model_options: Mapping[str, Any]) -> None:
    """Refuse a model whose calls another cache answers too."""
    cache = model_options.get("transformer_options", {}).get("easycache")
    if cache is not None:
        name = getattr(cache, "name", "EasyCache")
        raise StackedCacheError(
            f"{name} answers some of this model's calls too, and takes the knots for all steps: "
            f"take the {name} node out, or sample without the schedule"
        )
