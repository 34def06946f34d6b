"""Checkpoints: written whole or not at all, so that a stopped run goes on where it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch


def keep(path: Path, parts: dict[str, Any], step: int) -> None:
    """Write the parts' states (modules, optimizers) and the number of steps done."""
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {name: part.state_dict() for name, part in parts.items()} | {"step": step}
    torch.save(state, path.with_suffix(".tmp"))
    path.with_suffix(".tmp").replace(path)


def restore(path: Path, parts: dict[str, Any]) -> int:
    """Load the parts' states, if the checkpoint is there; the number of steps done, else 0."""
    if not path.exists():
        return 0
    state = torch.load(path, weights_only=True)
    for name, part in parts.items():
        part.load_state_dict(state[name])
    return state["step"]
