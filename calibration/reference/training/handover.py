"""A small checkpoint in the repository: a training that was begun elsewhere goes on from it.

It holds the autoencoder, the averages of the trained weights in half precision and the number of
steps done, but no optimizer's state: whoever goes on starts from the averages, and warms up anew.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import sprites
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

FOLDER = Path(__file__).parents[2] / "checkpoint"
FLOW, AUTOENCODER = "flow.safetensors", "vae.safetensors"


def leave(work: Path, folder: Path | None = None) -> None:
    """Write the small checkpoint from the work folder's own."""
    (folder or FOLDER).mkdir(parents=True, exist_ok=True)
    for file, source, parts in (
        (FLOW, "flow.pt", ("average",)),
        (AUTOENCODER, "vae.pt", ("vae",)),
    ):
        state = torch.load(work / source, weights_only=True)
        tensors = {
            f"{part}.{name}": tensor.half().contiguous()
            for part in parts
            for name, tensor in state[part].items()
        }
        save_file(tensors, (folder or FOLDER) / file, {"step": str(state["step"])})


def find(path: Path, parts: dict[str, nn.Module]) -> int:
    """Load the parts from a file of the small checkpoint; the number of steps done, else 0."""
    if not path.exists():
        return 0
    tensors = load_file(path)
    for part, module in parts.items():
        own = {k.removeprefix(f"{part}."): v for k, v in tensors.items() if k.startswith(part)}
        module.load_state_dict(own)
    with safe_open(path, "pt") as file:
        return int(file.metadata()["step"])


def find_flow(networks: nn.Module, average: nn.Module, folder: Path | None = None) -> int:
    """Load the averages, as the weights too, if they are there; the steps done, else 0."""
    done = find((folder or FOLDER) / FLOW, {"average": average})
    if done:
        networks.load_state_dict(average.state_dict())
    return done


def find_autoencoder(vae: nn.Module, folder: Path | None = None) -> int:
    """Load the autoencoder, if it is there; the steps that its decoder was trained, else 0."""
    return find((folder or FOLDER) / AUTOENCODER, {"vae": vae})


def main() -> None:
    """Write the small checkpoint from the work folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=sprites.DEFAULT_CACHE)
    parser.add_argument("--work", type=Path, help="checkpoints; default: CACHE/work")
    options = parser.parse_args()
    leave(options.work or options.cache / "work")


if __name__ == "__main__":
    main()
