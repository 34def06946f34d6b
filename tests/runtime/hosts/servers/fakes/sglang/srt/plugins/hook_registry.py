"""python/sglang/srt/plugins/hook_registry.py at 106f37cea63a: what plug-ins wrap functions with.

A hook that cannot be put in is logged. Modules that had imported the function get the wrapped one.
"""

from __future__ import annotations

import functools
import logging
import pkgutil
import sys
from collections import defaultdict
from collections.abc import Callable
from enum import Enum
from typing import Any, ClassVar


class HookType(Enum):
    AFTER = "after"
    AROUND = "around"


class HookRegistry:
    _hooks: ClassVar[dict[str, list[tuple[HookType, Callable[..., Any]]]]] = defaultdict(list)

    @classmethod
    def register(cls, target: str, hook: Callable[..., Any], hook_type: HookType) -> None:
        cls._hooks[target].append((hook_type, hook))

    @classmethod
    def apply_hooks(cls) -> None:
        for target, hooks in sorted(cls._hooks.items()):
            try:
                _apply(target, hooks)
            except Exception:
                logging.getLogger(__name__).exception("Failed to apply hooks to %s", target)


def _apply(target: str, hooks: list[tuple[HookType, Callable[..., Any]]]) -> None:
    place, name = target.rsplit(".", 1)
    module = pkgutil.resolve_name(place)
    wrapped = original = getattr(module, name)
    for kind, hook in hooks:
        wrapped = _wrapped(wrapped, hook, kind)
    for other in list(sys.modules.values()):
        for known, value in list(vars(other).items()):
            if value is original:
                setattr(other, known, wrapped)


def _wrapped(original: Any, hook: Callable[..., Any], kind: HookType) -> Any:
    @functools.wraps(original)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if kind is HookType.AROUND:
            return hook(original, *args, **kwargs)
        result = original(*args, **kwargs)
        modified = hook(result, *args, **kwargs)
        return result if modified is None else modified

    return wrapper
