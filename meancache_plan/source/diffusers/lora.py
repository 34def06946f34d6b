"""A LoRA in effect in a pipeline for a while."""

import os
import re
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from meancache_plan.errors import InputError
from meancache_runtime.hosts.diffusers.adapters import adapters_in_effect


@contextmanager
def with_lora(pipe: Any, file: str | None, scale: float) -> Generator[None]:
    """Load a LoRA, and unload it afterwards.

    Args:
        pipe: A diffusers pipeline without adapters.
        file: Its file or hub id; None for none.
        scale: By what its weights are multiplied.

    Raises:
        InputError: It cannot be loaded, or changes nothing of a denoiser.
    """
    if file is None:
        yield
        return
    try:
        _load(pipe, file, scale)
        if not adapters_in_effect(pipe):
            raise InputError(
                f"the LoRA {file} changes nothing of the denoiser at scale {scale:g}: give one "
                "that does, or leave it out"
            )
        yield
    finally:
        if hasattr(pipe, "unload_lora_weights"):
            pipe.unload_lora_weights()


def _load(pipe: Any, file: str, scale: float) -> None:
    if not os.path.exists(file) and (Path(file).suffix or file.count("/") != 1):
        raise InputError(f"the LoRA {file}: no such file; give one, or a hub id such as owner/name")
    name = re.sub(r"\W+", "_", Path(file).stem) or "lora"
    try:
        pipe.load_lora_weights(file, adapter_name=name)
        pipe.set_adapters([name], [scale])
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(
            f"the LoRA {file} cannot be loaded into this {type(pipe).__name__} ({reason}): give a "
            "file or hub id of one for this model"
        ) from error
