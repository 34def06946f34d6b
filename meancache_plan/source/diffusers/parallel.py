"""Denoisers that the processes of a gang share: their weights, or the tokens of each sample.

The gang is the default group of torch.distributed. All of it make the same sample at the same time.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import distributed, nn
from torch.distributed.device_mesh import init_device_mesh

from meancache_plan.errors import InputError
from meancache_runtime.hosts.diffusers import identity


def share(pipe: Any, how: str) -> None:
    """Share a pipeline's denoisers; the rest of it is as it was.

    Args:
        pipe: The pipeline; the weights that are shared may still be in main memory.
        how: One of :data:`WAYS`.

    Raises:
        InputError: There is no such way, or none for this model or device.
    """
    if how not in WAYS:
        raise InputError(f"--parallel {how!r}: choose from {', '.join(WAYS)}")
    for module in identity.denoisers(pipe).values():
        WAYS[how](module)


def shared(pipe: Any) -> str | None:
    """How its denoisers are shared, and among how many, such as ``"fsdp of 4"``; None: not."""
    for module in identity.denoisers(pipe).values():
        if identity.is_of_fsdp(type(module)):
            return f"fsdp of {distributed.get_world_size()}"
        if getattr(module, "_parallel_config", None) is not None:
            return f"ulysses of {distributed.get_world_size()}"
    return None


def _weights(module: Any) -> None:
    """FSDP2: each process keeps a part of the weights, and has a block's while it computes it."""
    from torch.distributed.fsdp import fully_shard  # since PyTorch 2.6

    kind = "cuda" if torch.cuda.is_available() else "cpu"
    mesh = init_device_mesh(kind, (distributed.get_world_size(),))
    for blocks in module.children():
        for block in blocks if isinstance(blocks, nn.ModuleList) else ():
            fully_shard(block, mesh=mesh)
    fully_shard(module, mesh=mesh)


def _tokens(module: Any) -> None:
    """Context parallelism: each process has all weights, but a part of the tokens."""
    from diffusers.models._modeling_parallel import ContextParallelConfig  # experimental

    if getattr(module, "_cp_plan", None) is None:
        name = type(module).__name__
        raise InputError(f"--parallel ulysses: diffusers cannot do that with {name}; choose fsdp")
    if not torch.accelerator.device_count():  # by which diffusers divides
        raise InputError("--parallel ulysses needs GPUs, of which there is none; choose fsdp")
    size = distributed.get_world_size()
    # "anything": also numbers of tokens and heads that cannot be divided evenly
    config = ContextParallelConfig(ulysses_degree=size, ulysses_anything=True)
    module.enable_parallelism(config=config)


WAYS: dict[str, Callable[[Any], None]] = {"fsdp": _weights, "ulysses": _tokens}
"""How denoisers can be shared."""
