"""Train the autoencoder: its decoder from the code that the flow learns, its encoder to it.

The decoder gets noisy latents, as the flow's samples are never exact. Text-to-video needs the
decoder alone. Neither needs the flow: it may be trained before, beside or after them.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import clip_latents
import clip_models
import clips
import numpy as np
import shared  # noqa: F401
import sprites
import torch
from checkpoint import keep, restore
from clip_latents import Code
from clips import Bank
from decoder import NOISE, misfit, rate_at
from diffusers import AutoencoderKLWan

STEPS = 2600
BATCH = 4
SEED, JUDGED = 13, 19
CHECKPOINT = "clip-vae.pt"


def batch_of(
    bank: Bank, code: Code, seed: int, step: int, count: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """The latents and frames (n x 3 x 9 x 48 x 48, -1 to 1) of a step: always the same."""
    frames = clips.paint(clips.draw(np.random.default_rng([seed, step]), count), bank)
    values = torch.from_numpy(frames).permute(0, 4, 1, 2, 3).float().div(127.5).sub(1)
    return code.encode(frames), values


def find(work: Path) -> tuple[AutoencoderKLWan, int]:
    """The autoencoder as far as it is, and the steps that it was trained."""
    torch.manual_seed(SEED)
    vae = clip_models.make_vae().requires_grad_(False)
    return vae, restore(work / CHECKPOINT, {"vae": vae})


def loss_of(
    vae: AutoencoderKLWan, latent: torch.Tensor, values: torch.Tensor, noise: torch.Tensor
) -> torch.Tensor:
    """Of the frames decoded from noisy latents, and of the encoder's latents."""
    missed = vae.encode(values).latent_dist.mode() - latent
    return misfit(vae.decode(latent + NOISE * noise).sample - values) + missed.square().mean()


@torch.no_grad()
def missed_share(vae: AutoencoderKLWan, latent: torch.Tensor, values: torch.Tensor) -> float:
    """The share of the code's variance that the encoder does not give."""
    missed = vae.encode(values).latent_dist.mode() - latent
    return float(missed.square().mean() / latent.var())


@torch.no_grad()
def psnr(vae: AutoencoderKLWan, latent: torch.Tensor, values: torch.Tensor) -> float:
    """Mean PSNR in dB of decoded latents against frames, over clips."""
    error = vae.decode(latent).sample - values
    return float((10 * torch.log10(4 / error.square().mean((1, 2, 3, 4)))).mean())


def train(bank: Bank, work: Path, steps: int = STEPS) -> AutoencoderKLWan:
    """Train both halves, or go on from where they were; prints how good they are."""
    vae, first = find(work)
    code = clip_latents.fit(bank)
    trained = list(vae.requires_grad_(True).parameters())
    optimizer = torch.optim.AdamW(trained, betas=(0.9, 0.99))
    restore(work / CHECKPOINT, {"optimizer": optimizer})
    judged = batch_of(bank, code, JUDGED, 0, 16)
    start = time.monotonic()
    for step in range(first, steps):
        for group in optimizer.param_groups:
            group["lr"] = 2 * rate_at(step, steps)
        latent, values = batch_of(bank, code, SEED, step, BATCH)
        rng = torch.Generator().manual_seed(SEED * 10**6 + step)
        loss = loss_of(vae, latent, values, torch.randn(latent.shape, generator=rng))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        if (step + 1) % 100 == 0 or step + 1 == steps:
            print(
                f"autoencoder step {step + 1}/{steps} loss {loss.item():.4f} "
                f"PSNR {psnr(vae, *judged):.2f} dB, missed by the encoder "
                f"{missed_share(vae, *judged):.3f}, {time.monotonic() - start:.0f} s",
                flush=True,
            )
            keep(work / CHECKPOINT, {"vae": vae, "optimizer": optimizer}, step + 1)
    return vae.requires_grad_(False)


def main() -> None:
    """Train the autoencoder alone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=sprites.DEFAULT_CACHE)
    parser.add_argument("--work", type=Path, help="checkpoints; default: CACHE/work")
    parser.add_argument("--steps", type=int, default=STEPS)
    options = parser.parse_args()
    work = options.work or options.cache / "work"
    train(clips.load(options.cache), work, options.steps)


if __name__ == "__main__":
    main()
