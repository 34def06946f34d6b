"""What figures were measured on: the device, and the libraries that decide them."""

import importlib.metadata
from collections.abc import Iterable

import torch

from meancache_plan.source.diffusers.pipeline import Pipeline
from meancache_plan.version import __version__

JUDGES = ("torchmetrics", "flip-evaluator")
"""Distributions that figures of pictures come from."""


def device_words(device: torch.device) -> str:
    """The device as a person names it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type}, {torch.get_num_threads()} threads"


def versions(pipeline: Pipeline, others: Iterable[str] = ()) -> dict[str, str]:
    """Of everything that decides a figure, by distribution; ``"not installed"`` where one is not.

    Args:
        pipeline: Makes the samples.
        others: More distributions.
    """
    named = {name: _version(name) for name in (*JUDGES, *others)}
    return {"meancache-plan": __version__, **pipeline.versions(), **named}


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
