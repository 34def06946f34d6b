"""Train the decoder on, with the encoder as it is: the latents stay what they were.

The decoder gets noisy latents, as the flow's samples are never exact, and mostly subjects. The
flow training needs the encoder alone, so this may run before or after it with the same result.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import data
import numpy as np
import torch
import vae as autoencoder
from diffusers import AutoencoderKL
from subjects import Record

STEPS = 2400
BATCH = 16
RATE = 1e-3
WARM_UP = 50
NOISE = 0.08
SUBJECT_SHARE = 0.85
SEED = 3


def rate_at(step: int, steps: int) -> float:
    """Warm-up, then a cosine down to a fiftieth."""
    cosine = 0.5 * (1 + math.cos(math.pi * step / steps))
    return RATE * min(1.0, (step + 1) / WARM_UP) * (0.02 + 0.98 * cosine)


def loss_of(vae: AutoencoderKL, latents: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Reconstruction and edge error of the decoded latents."""
    error = vae.decode(latents).sample - x
    edges = (error[..., 1:] - error[..., :-1]).abs().mean()
    edges = edges + (error[..., 1:, :] - error[..., :-1, :]).abs().mean()
    return error.abs().mean() + 2 * error.square().mean() + 0.5 * edges


def batch_of(sizes: tuple[int, int], step: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The step's picture numbers (subjects come first), sides and noise."""
    rng = torch.Generator().manual_seed(SEED * 10**6 + step)
    subjects, every = sizes
    index = torch.where(
        torch.rand(BATCH, generator=rng) < SUBJECT_SHARE,
        torch.randint(subjects, (BATCH,), generator=rng),
        torch.randint(every, (BATCH,), generator=rng),
    )
    side = torch.randint(2, (BATCH,), generator=rng)
    return index, side, NOISE * torch.randn(BATCH, 16, 8, 8, generator=rng)


def train(
    vae: AutoencoderKL, pictures: np.ndarray, records: list[Record], steps: int = STEPS
) -> AutoencoderKL:
    """Train the decoder for a number of steps; prints the PSNR on held-out pictures."""
    torch.set_flush_denormal(True)
    every = autoencoder.as_tensor(pictures)
    subjects, held = data.subject_records(records), data.held_out_records(records)
    order = subjects + sorted(set(range(len(records))) - set(subjects) - set(held))
    sides = torch.stack([every[order], every[order].flip(-1)])
    latents = torch.stack([autoencoder.encode(vae, side) for side in sides])
    vae = vae.to(memory_format=torch.channels_last)
    vae.requires_grad_(False)
    assert vae.post_quant_conv is not None
    parts = [*vae.decoder.parameters(), *vae.post_quant_conv.parameters()]
    for part in parts:
        part.requires_grad_(True)
    optimizer = torch.optim.AdamW(parts, RATE, betas=(0.9, 0.99), weight_decay=1e-4)
    start = time.monotonic()
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate_at(step, steps)
        index, side, noise = batch_of((len(subjects), len(order)), step)
        x = autoencoder.to_float(sides[side, index]).contiguous(memory_format=torch.channels_last)
        loss = loss_of(vae, latents[side, index] + noise, x)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parts, 1.0)
        optimizer.step()
        if (step + 1) % 200 == 0:
            print(
                f"decoder step {step + 1}/{steps} loss {loss.item():.4f} "
                f"PSNR held-out {autoencoder.psnr(vae, every[held]):.2f} subjects "
                f"{autoencoder.psnr(vae, every[subjects[:64]]):.2f} dB "
                f"{time.monotonic() - start:.0f} s",
                flush=True,
            )
    return vae.to(memory_format=torch.contiguous_format)


def main() -> None:
    """Train the decoder of a saved autoencoder on."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=data.DEFAULT_CACHE)
    parser.add_argument("--vae", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=STEPS)
    options = parser.parse_args()
    pictures, records = data.load(options.cache)
    vae = AutoencoderKL.from_pretrained(options.vae).eval()
    train(vae, pictures, records, options.steps).save_pretrained(options.out)


if __name__ == "__main__":
    main()
