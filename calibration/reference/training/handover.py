"""A small checkpoint in the repository: a training that was begun elsewhere goes on from it.

It holds the autoencoder, the trained weights and their averages in half precision and the number
of steps done, but no optimizer's state: whoever goes on warms up anew.
"""

from __future__ import annotations

from pathlib import Path

import models
import torch
from diffusers import AutoencoderTiny
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

FOLDER = Path(__file__).parent / "checkpoint"
FLOW, AUTOENCODER = "flow.safetensors", "vae.safetensors"


def leave(work: Path, folder: Path = FOLDER) -> None:
    """Write the small checkpoint from the work folder's own."""
    folder.mkdir(parents=True, exist_ok=True)
    state = torch.load(work / "flow.pt", weights_only=True)
    tensors = {
        f"{part}.{name}": tensor.half().contiguous()
        for part in ("networks", "average")
        for name, tensor in state[part].items()
    }
    save_file(tensors, folder / FLOW, {"step": str(state["step"])})
    vae = AutoencoderTiny.from_pretrained(work / "vae")
    halves = {name: tensor.half().contiguous() for name, tensor in vae.state_dict().items()}
    save_file(halves, folder / AUTOENCODER)


def find_flow(parts: dict[str, nn.Module], folder: Path = FOLDER) -> int:
    """Load networks and average from the small checkpoint; the number of steps done, else 0."""
    path = folder / FLOW
    if not path.exists():
        return 0
    tensors = load_file(path)
    for part in ("networks", "average"):
        own = {k.removeprefix(f"{part}."): v for k, v in tensors.items() if k.startswith(part)}
        parts[part].load_state_dict(own)
    with safe_open(path, "pt") as file:
        return int(file.metadata()["step"])


def find_autoencoder(folder: Path = FOLDER) -> AutoencoderTiny | None:
    """The small checkpoint's autoencoder, if it is there."""
    path = folder / AUTOENCODER
    if not path.exists():
        return None
    vae = models.make_vae()
    vae.load_state_dict(load_file(path))
    return vae.eval()
