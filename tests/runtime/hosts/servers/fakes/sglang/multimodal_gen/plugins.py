"""A fake of the parts of SGLang-Diffusion that a plug-in meets, written from its public interface.

Each module imitates one of github.com/sgl-project/sglang, and says which, and at which commit.
This one: python/sglang/multimodal_gen/runtime/platforms/plugins.py at 261bfaecec24, as
sglang.multimodal_gen.plugins exports it. What a third party's plug-in raises is logged, no more.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from importlib.metadata import entry_points
from typing import ClassVar

from sglang.srt.plugins.hook_registry import HookRegistry as _HookRegistry
from sglang.srt.plugins.hook_registry import HookType

GENERAL_PLUGINS_GROUP = "sglang.multimodal_gen.plugins"

__all__ = ["HookRegistry", "HookType", "apply_plugin_hooks", "load_plugins"]


class HookRegistry(_HookRegistry):
    _hooks: ClassVar = defaultdict(list)


def load_plugins() -> None:
    for plugin in entry_points(group=GENERAL_PLUGINS_GROUP):
        try:
            plugin.load()()
        except Exception:
            logging.getLogger(__name__).exception("Failed to execute %s", plugin.name)


def apply_plugin_hooks() -> None:
    HookRegistry.apply_hooks()
