"""Requests other than what was calibrated: what is asked for, how the run differs, what is said."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from diffusers.models.attention_dispatch import attention_backend
from torch.ao.quantization import quantize_dynamic
from torch.nn.attention import SDPBackend, sdpa_kernel

from tests.tiny import SIDE


def _native_math(pipe: Any) -> Any:
    return attention_backend("_native_math")


@contextmanager
def _in_eight_bits(pipe: Any) -> Generator[None]:
    pipe.transformer.enable_layerwise_casting(
        storage_dtype=torch.float8_e4m3fn, compute_dtype=torch.float32
    )
    yield


@contextmanager
def _in_half(pipe: Any) -> Generator[None]:
    pipe.to(torch.bfloat16)
    yield


def _math_kernel(pipe: Any) -> Any:
    return sdpa_kernel(SDPBackend.MATH)


def _autocast(pipe: Any) -> Any:
    return torch.autocast("cpu", torch.bfloat16)


@contextmanager
def _dynamically_quantised(pipe: Any) -> Generator[None]:
    quantize_dynamic(pipe.transformer, {torch.nn.Linear}, torch.qint8, inplace=True)
    yield


def _as_it_is(pipe: Any) -> Any:
    return nullcontext()


OTHERS: dict[str, tuple[dict[str, Any], Callable[[Any], Any], str]] = {
    "no guidance": ({"true_cfg_scale": 1.0}, _as_it_is, "true_cfg_scale 1,"),
    "more guidance": ({"true_cfg_scale": 7.0}, _as_it_is, "true_cfg_scale 7,"),
    "a scale of NumPy's": ({"true_cfg_scale": np.float32(7)}, _as_it_is, "true_cfg_scale 7,"),
    "a scale in a tensor": ({"true_cfg_scale": torch.tensor(7.0)}, _as_it_is, "true_cfg_scale 7,"),
    "a scale that nobody set": ({"guidance_scale": 30.0}, _as_it_is, "guidance_scale 30,"),
    "no negative branch": ({"negative_prompt": None}, _as_it_is, "through the denoiser once"),
    "a negative prompt": ({"negative_prompt": "ugly"}, _as_it_is, "has a negative prompt"),
    "a negative prompt for the other encoder": (
        {"negative_prompt_2": "ugly"},
        _as_it_is,
        "has a negative prompt",
    ),
    "another size": ({"height": 2 * SIDE}, _as_it_is, f"height {2 * SIDE},"),
    "another size by default": (
        {"height": None, "width": None},
        _as_it_is,
        "latents have .* numbers a sample",
    ),
    "another attention": ({}, _native_math, "attention _native_math"),
    "another kernel": ({}, _math_kernel, r"attention native \(math\)"),
    "quantised": ({}, _in_eight_bits, "quantisation float8_e4m3fn"),
    "quantised in layers": ({}, _dynamically_quantised, "quantisation .*quantized.dynamic"),
    "autocast": ({}, _autocast, "dtype bfloat16"),
    "half precision": ({}, _in_half, "dtype bfloat16"),
}
