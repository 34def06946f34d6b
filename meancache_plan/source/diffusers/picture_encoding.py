"""Pictures as a pipeline's own autoencoder sees them."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from meancache_plan.errors import InputError


def encode(pipe: Any, pictures: npt.NDArray[np.uint8]) -> Tensor:
    """Latents [n, C, h, w] of pictures [n, H, W, 3], float32, on the CPU; nothing is drawn.

    Autoencoders of videos see each picture as a video of one frame.

    Raises:
        InputError: The pipeline has no autoencoder that takes pictures.
    """
    vae: Any = getattr(pipe, "vae", None)
    if not hasattr(vae, "encode"):
        raise InputError(
            f"{type(pipe).__name__} has no autoencoder for pictures: no distance can be measured "
            "with its features"
        )
    values = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1
    values = values.to(pipe._execution_device, vae.dtype)
    of_videos = any(isinstance(module, torch.nn.Conv3d) for module in vae.modules())
    with torch.no_grad():
        found: Any = vae.encode(values[:, :, None] if of_videos else values)
    if hasattr(found, "latent_dist"):
        latents = found.latent_dist.mode()
    else:
        latents = found.latents if hasattr(found, "latents") else found.latent
    return (latents[:, :, 0] if of_videos else latents).float().cpu()
