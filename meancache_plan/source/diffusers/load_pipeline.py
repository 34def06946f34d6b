"""Diffusers pipelines from a directory or the hub, on their devices."""

import os
import warnings
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from accelerate import PartialState
from diffusers.pipelines.pipeline_utils import DiffusionPipeline

from meancache_plan.errors import InputError
from meancache_plan.source import catalog
from meancache_plan.source.diffusers import pipeline_identity
from meancache_plan.source.diffusers.parallel import share
from meancache_plan.source.diffusers.pipeline import Pipeline
from meancache_plan.source.recipe import Recipe
from meancache_runtime.hosts.diffusers import identity

OFFLOADS = ("none", "model", "group", "sequential")
"""Which parts of a pipeline wait on the CPU: nothing, whole models, single layers of which the next
is fetched while one computes, or single layers."""

PARAMETERS_A_THREAD = 25_000_000
"""On a CPU, threads of smaller models wait for each other longer than they work."""

MOST_THREADS = torch.get_num_threads()


def load(
    model: str,
    recipe: Recipe,
    *,
    device: str | None = None,
    offload: str = "none",
    gpus: int = 1,
    parallel: str | None = None,
    any_device: bool = False,
) -> Pipeline:
    """Load a pipeline from a directory, a hub id, ``"reference"`` or ``"reference-video"``.

    On a CPU it is given as many threads as suit its size; ``OMP_NUM_THREADS`` has the last word.

    Args:
        model: What to load.
        recipe: How its samples are made; its dtype is the weights'.
        device: Such as ``"cuda:1"``; by default what accelerate finds best.
        offload: ``"none"``, ``"model"``, ``"group"`` or ``"sequential"`` CPU offload, as diffusers
            has them.
        gpus: Spread the components over so many GPUs, if they are more than one.
        parallel: How the processes of torch.distributed's default group share its denoisers, if
            they do: see :func:`meancache_plan.source.diffusers.parallel.share`.
        any_device: Leave open on what kind of device it is: see :class:`Pipeline`.

    Raises:
        InputError: There is no such pipeline, the device does not exist, or the denoisers cannot
            be shared.
    """
    if offload not in OFFLOADS:
        raise InputError(f"--offload {offload!r}: choose from {', '.join(OFFLOADS)}")
    if gpus > 1 and (device is not None or offload != "none"):
        raise InputError("a model is spread over GPUs: leave out --device and --offload")
    source = catalog.source_of(model)
    _check_folder(source)
    try:
        with warnings.catch_warnings():  # torch_dtype: the name that all versions know
            warnings.simplefilter("ignore", FutureWarning)
            pipe: Any = DiffusionPipeline.from_pretrained(
                source,
                torch_dtype=getattr(torch, recipe.dtype),
                revision=recipe.revision,
                **({"device_map": "balanced"} if gpus > 1 else {}),
            )
    except (OSError, ValueError, TypeError, KeyError, AttributeError, ImportError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(
            f"{model}: cannot be loaded as a diffusers pipeline ({reason}); give a directory with "
            "a model_index.json, a hub id, or nothing for the reference pipeline"
        ) from error
    if parallel is not None:
        share(pipe, parallel)
    if gpus == 1:
        _place(pipe, device, offload)
    _choose_threads(pipe)
    name, commit = pipeline_identity.origin(pipe, source)
    return Pipeline(pipe, recipe, name, commit or recipe.revision, any_device=any_device)


def quieten() -> None:
    """Let the libraries draw no progress bars of their own."""
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()


def _check_folder(source: str) -> None:
    """Refuse what reads as a path, not as ``owner/name`` on the hub, unless it is a folder."""
    path = source.startswith((".", "/", "~")) or source.endswith("/") or source.count("/") != 1
    if path and not Path(source).is_dir():
        reason = "is a file, not a folder" if Path(source).exists() else "no such folder"
        raise InputError(
            f"{source}: {reason}; give a directory with a model_index.json, a hub id such as "
            "owner/name, or nothing for the reference pipeline"
        )


def _place(pipe: Any, device: str | None, offload: str) -> None:
    try:
        if offload == "model":
            pipe.enable_model_cpu_offload(device=device)
        elif offload == "group":
            best: Any = PartialState().device
            onto = torch.device(device or best)
            streams = onto.type == "cuda"
            pipe.enable_group_offload(onto, offload_type="leaf_level", use_stream=streams)
        elif offload == "sequential":
            pipe.enable_sequential_cpu_offload(device=device)
        else:
            pipe.to(device or PartialState().device)
    except (RuntimeError, ValueError, AssertionError) as error:
        raise InputError(
            f"--device {device or 'default'} with --offload {offload}: not usable here "
            f"({str(error).splitlines()[0]})"
        ) from error


def _choose_threads(pipe: Any) -> None:
    """On a CPU: one for every 25 million parameters of the denoisers, at most torch's own number.

    Small models gain little by threads, and next to nothing is left of them beside other work.
    """
    if pipe._execution_device.type != "cpu" or "OMP_NUM_THREADS" in os.environ:
        return
    modules = identity.denoisers(pipe).values()
    count = sum(each.numel() for module in modules for each in module.parameters())
    torch.set_num_threads(min(MOST_THREADS, max(1, count // PARAMETERS_A_THREAD)))
