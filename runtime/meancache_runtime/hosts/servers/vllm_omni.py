"""vLLM-Omni, as a plug-in of the group ``vllm_omni.general_plugins``.

Each of its processes calls :func:`register` once. A worker's model runner holds one pipeline, whose
``scheduler`` takes the steps: in ``forward`` for whole requests, or in a copy of a request's own,
made in ``prepare_encode``, where the server takes steps of several requests together. In both a
request finds a scheduler that follows its plan, and takes fewer steps; nothing else is touched.
"""

import logging
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial, wraps
from pkgutil import resolve_name
from typing import Any

from ...errors import StackedCacheError
from .offer import SCHEDULE, Choice, Offer
from .serving import Request, Serving, following

RUNNER = "vllm_omni.diffusion.worker.diffusion_model_runner:DiffusionModelRunner"
WARM_UP = "vllm_omni.diffusion.request:DUMMY_DIFFUSION_REQUEST_ID"
"""The name of the request that a server makes itself, or what that begins with."""

LOG = logging.getLogger("vllm.meancache")
"""Beneath vLLM's own, whose lines a server shows."""


def register() -> None:
    """Let each pipeline that this process loads follow the plans that its environment offers.

    Raises:
        ScheduleError: The offer cannot be read; see :class:`.Offer`. The server does not start.
        BudgetError: As well.
    """
    serving = Serving(Offer(), LOG)
    runner = resolve_name(RUNNER)
    if getattr(runner, "offers_plans", False):
        return
    loading = runner.load_model

    @wraps(loading)
    def load_model(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = loading(self, *args, **kwargs)
        if self.pipeline is not None:
            _install(serving, self.pipeline, self.od_config)
        return result

    runner.load_model, runner.offers_plans = load_model, True


def _install(serving: Serving, pipeline: Any, config: Any) -> None:
    """Check a pipeline that was loaded, and let its requests find their schedulers."""
    if config.cache_backend not in (None, "", "none"):
        raise StackedCacheError(
            f"--cache-backend {config.cache_backend} answers some of the model's calls too, and "
            f"takes the knots of a plan for all steps: leave it out, or unset {SCHEDULE}"
        )
    revision = getattr(config, "revision", None)
    serving.start(getattr(pipeline, "scheduler", None), str(config.model), revision)
    choose = partial(_choose, serving)
    pipeline.forward = _by_plan(pipeline, pipeline.forward, choose)
    if hasattr(pipeline, "prepare_encode"):
        preparing = pipeline.prepare_encode

        @wraps(preparing)
        def prepare_encode(state: Any, **kwargs: Any) -> Any:
            with _sampling_with(pipeline, choose(state.request_id, state.sampling)):
                return preparing(state, **kwargs)

        pipeline.prepare_encode = prepare_encode


def _by_plan(
    pipeline: Any, forward: Callable[..., Any], choose: Callable[..., Choice | None]
) -> Callable[..., Any]:
    """``forward``, once for each plan that the requests of a batch follow; as a rule, once."""

    @wraps(forward)
    def by_plan(batch: Any, *args: Any, **kwargs: Any) -> Any:
        choices = [choose(each.request_id, each.sampling_params) for each in batch.requests]
        if all(choice == choices[0] for choice in choices):
            with _sampling_with(pipeline, choices[0]):
                return forward(batch, *args, **kwargs)
        outputs: list[Any] = [None] * len(choices)
        for choice in dict.fromkeys(choices):
            places = [i for i, other in enumerate(choices) if other == choice]
            part = type(batch)(requests=[batch.requests[i] for i in places])
            with _sampling_with(pipeline, choice):
                made = forward(part, *args, **kwargs)
            for i, output in zip(places, made, strict=True):
                outputs[i] = output
        return outputs

    return by_plan


@contextmanager
def _sampling_with(pipeline: Any, choice: Choice | None) -> Generator[None]:
    """Let a pipeline's scheduler follow a plan for as long as one of its calls takes."""
    own = pipeline.scheduler
    try:
        if choice is not None:
            pipeline.scheduler = following(own, choice)
        yield
    finally:
        pipeline.scheduler = own


def _choose(serving: Serving, request_id: str, sampling: Any) -> Choice | None:
    dummy = resolve_name(WARM_UP)
    scale = sampling.guidance_scale if sampling.guidance_scale_provided else None
    request = Request(
        extra=sampling.extra_args or {},
        warm_up=request_id == dummy or request_id.startswith(f"{dummy}/"),
        stated={
            "height": sampling.height,
            "width": sampling.width,
            "frames": sampling.num_frames if sampling.num_frames > 1 else None,
            "guidance_scale": scale,
            "true_cfg_scale": sampling.true_cfg_scale,
        },
    )
    choice = serving.choose(request)
    serving.tell(request, choice)
    return choice
