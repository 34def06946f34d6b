"""How often denoisers really run, whatever is attached to their pipeline."""

from __future__ import annotations

from typing import Any

from torch import nn


def count_calls(module: nn.Module) -> list[int]:
    """A list that grows by one with every call of the module."""
    calls: list[int] = []
    module.register_forward_hook(lambda *_: calls.append(1))
    return calls


def denoisers_called(pipe: Any) -> list[str]:
    """A list that grows by ``"transformer"`` or ``"transformer_2"`` with every call of either."""
    calls: list[str] = []
    for name in ("transformer", "transformer_2"):
        module = getattr(pipe, name, None)
        if module is not None:
            module.register_forward_hook(lambda *_, name=name: calls.append(name))
    return calls
