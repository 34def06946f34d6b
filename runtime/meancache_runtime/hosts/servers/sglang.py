"""SGLang-Diffusion, as a plug-in of the group ``sglang.multimodal_gen.plugins``.

Each of its processes calls :func:`register` once, and puts the two hooks in that it names: after a
worker has built its pipeline, and around the one function that gives a request its scheduler. There
a request finds a scheduler that follows its plan, and takes fewer steps; nothing else is touched.
"""

import logging
from collections.abc import Callable, Iterator
from pkgutil import resolve_name
from typing import Any

from ...errors import ReplayError, StackedCacheError, UnsupportedPipelineError
from .offer import PLAIN, SCHEDULE, Offer
from .serving import Request, Serving, following

CORE = "sglang.multimodal_gen.runtime.pipelines_core"
BUILD = f"{CORE}.build_pipeline"
SCHEDULER = f"{CORE}.diffusion_scheduler_utils.get_or_create_request_scheduler"
CACHES = ("enable_teacache", "enable_magcache", "enable_spectrum", "enable_cache_dit")
"""Request parameters that let another cache answer calls."""

LOG = logging.getLogger("sglang.meancache")
"""Beneath SGLang's own, whose lines a server shows."""


def register() -> None:
    """Name the hooks that let requests follow the plans that this process's environment offers.

    What is wrong with the offer is raised when the pipeline has been built, and not here, where
    SGLang would log it and serve without: so no server starts.
    """
    registry = resolve_name("sglang.multimodal_gen.plugins:HookRegistry")
    kind = resolve_name("sglang.srt.plugins.hook_registry:HookType")
    plugin = Plugin()
    registry.register(BUILD, plugin.after_build, kind.AFTER)
    registry.register(SCHEDULER, plugin.around_scheduler, kind.AROUND)


class Plugin:
    """The two hooks, and what they share."""

    _serving: Serving | None = None

    def after_build(self, pipeline: Any, server_args: Any, *_: Any, **__: Any) -> None:
        """Refuse, before it serves, a worker that could not follow what is offered.

        Raises:
            ScheduleError: The offer cannot be read; see :class:`.Offer`.
            BudgetError: As well.
            UnsupportedPipelineError: Its pipeline gives requests no scheduler of its own, or works
                in several processes of one request's stages.
            UnsupportedSchedulerError: See :meth:`.Serving.start`.
            ModelMismatchError: As well.
            StackedCacheError: Another cache is on for all requests.
        """
        serving = Serving(Offer(), LOG)
        if not _is_hooked(SCHEDULER):
            raise UnsupportedPipelineError(
                f"this SGLang gives requests their schedulers elsewhere than in {SCHEDULER}: use "
                f"the version that docs/SERVERS.md of meancache-plan names, or unset {SCHEDULE}"
            )
        role = getattr(getattr(server_args, "disagg_role", None), "name", "MONOLITHIC")
        if role != "MONOLITHIC":
            raise UnsupportedPipelineError(
                f"this worker has the role {role} alone, and a plan's scheduler cannot go from one "
                f"worker to another: serve without disaggregation, or unset {SCHEDULE}"
            )
        if _setting("SGLANG_CACHE_DIT_ENABLED", False):
            raise StackedCacheError(
                "SGLANG_CACHE_DIT_ENABLED answers some of the model's calls too, and takes the "
                f"knots of a plan for all steps: unset it, or unset {SCHEDULE}"
            )
        source = server_args.model_path
        revision = getattr(server_args, "revision", None)
        serving.start(pipeline.get_module("scheduler"), source, revision)
        self._serving = serving

    def around_scheduler(
        self, original: Callable[..., Any], batch: Any, scheduler_template: Any, **options: Any
    ) -> Any:
        """Give a request that has no scheduler yet the one that follows its plan.

        Raises:
            ScheduleError: See :meth:`.Serving.choose`.
            BudgetError: As well.
            StackedCacheError: As well.
            ReplayError: The request was given a scheduler that does not follow its plan: it shares
                another request's, or draws noise in every step.
        """
        if self._serving is not None:
            request = _request(batch)
            choice = self._serving.choose(request)
            if batch.scheduler is None:
                self._serving.tell(request, choice)
                if choice is not None:
                    batch.scheduler = following(scheduler_template, choice)
            elif getattr(batch.scheduler, "choice", None) != choice:
                raise ReplayError(
                    f"this request follows {choice or 'no plan'}, and was given a scheduler that "
                    f"does not (a rollout, or a group of requests that want others): say {PLAIN}, "
                    "or send such requests apart"
                )
        return original(batch, scheduler_template, **options)


def _request(batch: Any) -> Request:
    """What we see of a request (``Req``): what it says, in SGLang's parameters for diffusers."""
    guided = batch.do_classifier_free_guidance
    scale = batch.guidance_scale if batch.true_cfg_scale is None else batch.true_cfg_scale
    return Request(
        extra=batch.extra.get("diffusers_kwargs") or {},
        warm_up=batch.is_warmup,
        caches=tuple(_caches(batch)),
        stated={
            "height": batch.height,
            "width": batch.width,
            "frames": batch.num_frames,
            "guidance_scale": scale if guided else None,
            "true_cfg_scale": scale if guided else 1.0,
        },
    )


def _caches(batch: Any) -> Iterator[str]:
    """What else of SGLang's answers calls, or changes the latents' size, in a request."""
    yield from (name for name in CACHES if getattr(batch, name, False))
    gate = getattr(batch, "cfg_gate_step", None)
    if (_setting("SGLANG_DIFFUSION_CFG_GATE_STEP", 1.0) if gate is None else gate) < 1.0:
        yield "cfg_gate_step"
    if getattr(batch, "progressive_mode", None) not in (None, "fullres"):
        yield "progressive_mode"


def _is_hooked(target: str) -> bool:
    try:
        return hasattr(resolve_name(target), "__wrapped__")
    except (AttributeError, ImportError):
        return False


def _setting(name: str, usual: Any) -> Any:
    """One of SGLang's environment variables, as it reads it itself."""
    return getattr(resolve_name("sglang.multimodal_gen.envs"), name, usual)
