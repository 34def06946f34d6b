"""Tell pipelines apart by more than their configuration: weights, hub commit, LoRA adapters."""

import hashlib
import re
from pathlib import Path
from typing import Any

from meancache_runtime.hosts.diffusers import identity
from meancache_runtime.hosts.diffusers.adapters import adapters_in_effect

__all__ = ["adapters_in_effect", "hub_commit", "weights_revision"]


def weights_revision(folder: Path) -> str:
    """Tell trainings of a local model apart: SHA-256 over its weight files' names, sizes and ends.

    Of each file the first and last MiB count: enough, as training changes every tensor.
    """
    total = hashlib.sha256()
    for file in sorted(folder.rglob("*")):
        if file.suffix in (".safetensors", ".bin"):
            size = file.stat().st_size
            with file.open("rb") as stream:
                head = stream.read(1 << 20)
                stream.seek(max(0, size - (1 << 20)))
                tail = stream.read()
            total.update(f"{file.relative_to(folder).as_posix()} {size}\n".encode() + head + tail)
    return f"weights-sha256:{total.hexdigest()}"


def hub_commit(pipe: Any) -> str | None:
    """The commit of the hub snapshot that a pipeline's denoiser was loaded from."""
    for module in identity.denoisers(pipe).values():
        found = re.search(r"snapshots[/\\]([0-9a-f]{40})", str(module.config.get("_name_or_path")))
        if found is not None:
            return found[1]
    return None
