"""The code of a picture: 16 numbers for every 8 x 8 patch, a linear map fitted to scenes.

The principal components of patches, each scaled by the square root of its deviation's inverse,
which lies between keeping distances and whitening: what is large stays larger, and fine detail is
above the noise for more of the sampler's steps. A fixed rotation then spreads them evenly over
the channels, so that every channel has variance 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scenes
import torch
from models import LATENT_CHANNELS
from sprites import SIDE, Bank

PATCH = 8
FITTED = 4000
SEED = 5
POWER = 0.5


@dataclass(frozen=True)
class Code:
    """latent = patch @ basis + offset: 192 x 16 and 16; a patch is (row, column, RGB), -1 to 1."""

    basis: torch.Tensor
    offset: torch.Tensor

    def encode(self, pictures: np.ndarray) -> torch.Tensor:
        """Latents n x 16 x 8 x 8 of pictures n x 64 x 64 x 3, uint8."""
        values = torch.from_numpy(patches(pictures).astype(np.float32)) / 127.5 - 1
        return (values @ self.basis + self.offset).permute(0, 3, 1, 2)


def patches(pictures: np.ndarray) -> np.ndarray:
    """Pictures n x 64 x 64 x 3 as patches n x 8 x 8 x 192."""
    grid = SIDE // PATCH
    cut = pictures.reshape(-1, grid, PATCH, grid, PATCH, 3)
    return cut.transpose(0, 1, 3, 2, 4, 5).reshape(-1, grid, grid, PATCH * PATCH * 3)


def fit(bank: Bank) -> Code:
    """The code of scenes drawn with a fixed seed."""
    drawn = scenes.draw(np.random.default_rng(SEED), FITTED)
    flat = patches(scenes.paint(drawn, bank)).reshape(-1, 3 * PATCH**2) / 127.5 - 1
    mean = flat.mean(0)
    variances, vectors = np.linalg.eigh(np.cov(flat.T))
    deviations, vectors = np.sqrt(variances[::-1]), vectors[:, ::-1]
    deviations, vectors = deviations[:LATENT_CHANNELS], vectors[:, :LATENT_CHANNELS]
    scaled = vectors * deviations**-POWER
    scaled /= np.sqrt(np.mean(deviations ** (2 - 2 * POWER)))
    noise = np.random.default_rng(SEED).standard_normal((LATENT_CHANNELS, LATENT_CHANNELS))
    rotation = np.linalg.qr(noise)[0]
    basis = scaled @ rotation
    return Code(torch.tensor(basis).float(), torch.tensor(-mean @ basis).float())


@torch.no_grad()
def write(code: Code, encoder: torch.nn.Module) -> None:
    """Make an `AutoencoderTiny`'s encoder, without blocks and of width 48, this very map.

    Each stride-2 convolution gathers 2 x 2 neighbours; the last one applies the basis.
    """
    first, *gathering, last = (m for m in encoder.layers if isinstance(m, torch.nn.Conv2d))
    for layer in (first, *gathering, last):
        layer.weight.zero_()
    first.bias.zero_()
    for channel in range(3):
        first.weight[channel, channel, 1, 1] = 1
    for layer, size in zip(gathering[:2], (1, 2), strict=True):
        for index, (y, x, row, column, c) in enumerate(np.ndindex(2, 2, size, size, 3)):
            source = (row * size + column) * 3 + c
            layer.weight[index, source, 1 + y, 1 + x] = 1
    basis = code.basis.reshape(PATCH, PATCH, 3, LATENT_CHANNELS)
    # after two gatherings channel (y, x, row, column, c) is the pixel (2 y + row, 2 x + column)
    for y, x in np.ndindex(2, 2):
        quarter = basis[4 * y : 4 * y + 4, 4 * x : 4 * x + 4]
        inner = quarter.reshape(2, 2, 2, 2, 3, -1).permute(0, 2, 1, 3, 4, 5).reshape(48, -1)
        gathering[2].weight[:LATENT_CHANNELS, :, 1 + y, 1 + x] = 2 * inner.T
    for channel in range(LATENT_CHANNELS):
        last.weight[channel, channel, 1, 1] = 1
    last.bias.copy_(code.offset - code.basis.sum(0))


@torch.no_grad()
def read(encoder: torch.nn.Module) -> Code:
    """The map that such an encoder is, found by its answers to single pixels.

    Raises:
        ValueError: the encoder is no such map.
    """
    pixels = 3 * PATCH**2
    single = torch.eye(pixels).reshape(pixels, PATCH, PATCH, 3).permute(0, 3, 1, 2)
    offset = encoder(torch.zeros(1, 3, PATCH, PATCH))[0, :, 0, 0]
    code = Code(encoder(single)[:, :, 0, 0] - offset, offset)
    pictures = np.random.default_rng(SEED).integers(0, 256, (4, SIDE, SIDE, 3), np.uint8)
    values = torch.from_numpy(pictures).permute(0, 3, 1, 2) / 127.5 - 1
    if not torch.allclose(encoder(values), code.encode(pictures), atol=1e-3):
        raise ValueError("the encoder is no linear map of 8 x 8 patches")
    return code
