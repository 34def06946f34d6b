"""Custom node for ComfyUI: a MeanCache schedule as SAMPLER and SIGMAS.

ComfyUI asks for :func:`comfy_entrypoint`; until then nothing of it is imported.
"""

from typing import Any


async def comfy_entrypoint() -> Any:
    """What ComfyUI calls to learn which nodes there are."""
    from .nodes import MeanCacheExtension

    return MeanCacheExtension()
