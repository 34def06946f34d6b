"""The code of a clip: 24 numbers for every 8 x 8 patch of one frame (the first) or of four.

Linear maps fitted to clips, made as the image reference makes its own: principal components
between keeping distances and whitening, spread evenly over the channels by a fixed rotation. The
flow is trained on this code; the autoencoder's encoder and decoder learn it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shared  # noqa: F401
import torch
from clip_models import LATENT_CHANNELS
from clips import SIDE, Bank, draw, paint
from latents import PATCH, POWER, SEED

FITTED = 1500
GROUP = 4
GRID = SIDE // PATCH


@dataclass(frozen=True)
class Map:
    """latent = patch @ basis + offset; patch = latent @ inverse + mean, as near as it goes."""

    basis: torch.Tensor
    offset: torch.Tensor
    inverse: torch.Tensor
    mean: torch.Tensor


@dataclass(frozen=True)
class Code:
    """The maps of the first frame's patches (192 numbers) and of four frames' (768)."""

    first: Map
    later: Map

    def encode(self, frames: np.ndarray) -> torch.Tensor:
        """Latents n x 24 x 3 x 6 x 6 of frames n x 9 x 48 x 48 x 3, uint8."""
        parts = [patches(frames[:, :1]), patches(frames[:, 1:])]
        coded = [
            p @ m.basis + m.offset for p, m in zip(parts, (self.first, self.later), strict=True)
        ]
        return torch.cat(coded, 1).permute(0, 4, 1, 2, 3).contiguous()

    def decode(self, latents: torch.Tensor) -> np.ndarray:
        """Frames as near as the maps alone come; what to look at before a decoder is trained."""
        rows = latents.permute(0, 2, 3, 4, 1)
        halves = [rows[:, :1] @ self.first.inverse + self.first.mean]
        halves.append(rows[:, 1:] @ self.later.inverse + self.later.mean)
        frames = [unpatched(half) for half in halves]
        values = torch.cat(frames, 1).add(1).mul(127.5).clamp(0, 255)
        return values.to(torch.uint8).numpy()


def patches(frames: np.ndarray) -> torch.Tensor:
    """Frames n x t x 48 x 48 x 3 as n x groups x 6 x 6 x numbers, from -1 to 1; a single frame is
    a group of its own, others go by fours."""
    count, long = frames.shape[:2]
    group = min(GROUP, long)
    cut = frames.reshape(count, long // group, group, GRID, PATCH, GRID, PATCH, 3)
    flat = cut.transpose(0, 1, 3, 5, 2, 4, 6, 7).reshape(count, long // group, GRID, GRID, -1)
    return torch.from_numpy(flat.astype(np.float32)) / 127.5 - 1


def unpatched(values: torch.Tensor) -> torch.Tensor:
    """What `patches` undoes, still from -1 to 1."""
    count, groups = values.shape[:2]
    cut = values.reshape(count, groups, GRID, GRID, -1, PATCH, PATCH, 3)
    return cut.permute(0, 1, 4, 2, 5, 3, 6, 7).reshape(count, -1, SIDE, SIDE, 3)


def fit(bank: Bank) -> Code:
    """The code of clips drawn with a fixed seed."""
    frames = paint(draw(np.random.default_rng(SEED), FITTED, varied=True), bank)
    return Code(fitted(patches(frames[:, :1])), fitted(patches(frames[:, 1:])))


def fitted(values: torch.Tensor) -> Map:
    """The map of patches by their principal components."""
    flat = values.reshape(-1, values.shape[-1]).double().numpy()
    mean = flat.mean(0)
    variances, vectors = np.linalg.eigh(np.cov(flat.T))
    deviations = np.sqrt(variances[::-1][:LATENT_CHANNELS])
    vectors = vectors[:, ::-1][:, :LATENT_CHANNELS]
    scales = deviations**-POWER
    scales /= np.sqrt(np.mean((deviations * scales) ** 2))
    noise = np.random.default_rng(SEED).standard_normal((LATENT_CHANNELS, LATENT_CHANNELS))
    rotation = np.linalg.qr(noise)[0]
    basis, inverse = vectors * scales @ rotation, rotation.T @ (vectors / scales).T
    parts = (basis, -mean @ basis, inverse, mean)
    return Map(*(torch.tensor(part).float() for part in parts))
