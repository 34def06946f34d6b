"""What pictures are compared by: Inception's features if they are here, else the pipeline's own."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from meancache_plan.source.diffusers.picture_encoding import encode
from meancache_plan.source.diffusers.pipeline import Pipeline

Pictures = npt.NDArray[np.uint8]
"""[n, height, width, 3]."""

WEIGHTS = "weights-inception-2015-12-05-6726825d.pth"
"""The file of FID's Inception, among torch.hub's checkpoints, where torch-fidelity looks for it."""

LEVELS, VARIATION = 4, 2
"""Cells a side in which latents have their mean and their standard deviation taken."""

_PROBE = 128


class Features(Protocol):
    """Pictures to features."""

    @property
    def name(self) -> str:
        """What a distance by them is called."""
        ...

    def __call__(self, pictures: Pictures) -> Tensor:
        """Features [n, D], float32, on the CPU; D is the same for pictures of any size."""
        ...


class Inception:
    """FID's own: 2,048 numbers of an Inception network, which make the distance an FID.

    Args:
        network: uint8 [n, 3, height, width] → [n, 2048].
        device: Where it runs.
    """

    name = "FID"

    def __init__(self, network: Any, device: torch.device) -> None:
        self._network, self._device = network.to(device), device

    def __call__(self, pictures: Pictures) -> Tensor:
        """See :class:`Features`."""
        values = torch.from_numpy(pictures).permute(0, 3, 1, 2).to(self._device)
        with torch.no_grad():
            return self._network(values).float().cpu()


class Autoencoder:
    """Levels and variation of the pipeline's own latents; a distance by them is no FID.

    Of each channel the mean in each cell of a grid of 4 × 4, and the standard deviation in each of
    2 × 2: 20 numbers a channel. They tell colour and layout; to loss of detail they are nearly
    blind, which is what FLIP and PSNR are for.
    """

    name = "Fréchet distance, autoencoder features"

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipe = pipeline.pipe

    def __call__(self, pictures: Pictures) -> Tensor:
        """See :class:`Features`."""
        latents = encode(self._pipe, pictures).double()
        mean, square = (adaptive_avg_pool2d(each, VARIATION) for each in (latents, latents**2))
        spread = (square - mean**2).clamp(min=0).sqrt()
        levels = adaptive_avg_pool2d(latents, LEVELS)
        return torch.cat([levels.flatten(1), spread.flatten(1)], dim=1).float()


def find_features(pipeline: Pipeline) -> Features:
    """Inception's if torch-fidelity and its weights are here, for nothing is fetched; or the
    pipeline's own."""
    weights = Path(torch.hub.get_dir()) / "checkpoints" / WEIGHTS
    if find_spec("torch_fidelity") is None or not weights.is_file():
        return Autoencoder(pipeline)
    return Inception(_network(weights), pipeline.device)


def dimensions(features: Features) -> int:
    """D."""
    return features(np.zeros((1, _PROBE, _PROBE, 3), np.uint8)).shape[1]


def _network(weights: Path) -> Any:
    from torchmetrics.image.fid import NoTrainInceptionV3

    return NoTrainInceptionV3("inception-v3-compat", ["2048"], str(weights))
