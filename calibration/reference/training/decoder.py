"""Train the autoencoder on scenes: fit the encoder's linear map, then train the decoder.

The decoder gets noisy latents, as the flow's samples are never exact. The flow needs the encoder
alone, so the decoder may be trained before, beside or after it.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import latents
import models
import numpy as np
import scenes
import sprites
import torch
from checkpoint import keep, restore
from diffusers import AutoencoderTiny
from latents import Code
from sprites import Bank

STEPS = 6000
BATCH = 8
RATE = 1e-3
WARM_UP = 50
NOISE = 0.1
SEED, JUDGED = 3, 9
CHECKPOINT = "vae.pt"


def to_float(pictures: np.ndarray) -> torch.Tensor:
    """Pictures n x 64 x 64 x 3, uint8, as n x 3 x 64 x 64 values from -1 to 1, channels last."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float().div(127.5).sub(1)


def batch_of(
    bank: Bank, code: Code, seed: int, step: int, count: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """The step's latents and pictures as values: always the same for a seed and a step."""
    rng = np.random.default_rng([seed, step])
    pictures = scenes.paint(scenes.draw(rng, count), bank)
    return code.encode(pictures), to_float(pictures)


def misfit(error: torch.Tensor) -> torch.Tensor:
    """Error of values, absolute and squared, and of edges."""
    edges = (error[..., 1:] - error[..., :-1]).abs().mean()
    edges = edges + (error[..., 1:, :] - error[..., :-1, :]).abs().mean()
    return error.abs().mean() + 2 * error.square().mean() + 0.5 * edges


def rate_at(step: int, steps: int) -> float:
    """Warm-up, then a cosine down to a fiftieth."""
    cosine = 0.5 * (1 + math.cos(math.pi * step / steps))
    return RATE * min(1.0, (step + 1) / WARM_UP) * (0.02 + 0.98 * cosine)


@torch.no_grad()
def begin(decoder: torch.nn.Module) -> None:
    """Weights to begin with: signals keep their size, residual branches are silent."""
    convolutions = {n: m for n, m in decoder.named_modules() if isinstance(m, torch.nn.Conv2d)}
    for name, layer in convolutions.items():
        inside, last = "conv." in name, name.endswith("conv.4")
        gain = 0.0 if last else math.sqrt(2) if inside else 1.0
        torch.nn.init.normal_(layer.weight, std=gain * layer.weight[0].numel() ** -0.5)
        if layer.bias is not None:
            torch.nn.init.zeros_(layer.bias)
    out = list(convolutions.values())[-1]
    out.weight.mul_(0.1)
    assert out.bias is not None
    out.bias.fill_(0.7)


@torch.no_grad()
def psnr(vae: AutoencoderTiny, latent: torch.Tensor, pictures: torch.Tensor) -> float:
    """Mean PSNR in dB of decoded latents against pictures as values, over pictures."""
    error = vae.decode(latent).sample.clamp(-1, 1) - pictures
    return float((10 * torch.log10(4 / error.square().mean((1, 2, 3)))).mean())


def find(bank: Bank, work: Path) -> tuple[AutoencoderTiny, int]:
    """The autoencoder as far as it is, and the steps that its decoder was trained.

    It is the work folder's, else one that knows nothing yet but what its encoder will always be.
    """
    vae = models.make_vae().requires_grad_(False)
    done = restore(work / CHECKPOINT, {"vae": vae})
    if not done:
        torch.manual_seed(SEED)
        latents.write(latents.fit(bank), vae.encoder)
        begin(vae.decoder)
    return vae, done


def train(bank: Bank, work: Path, steps: int = STEPS) -> AutoencoderTiny:
    """Train the decoder, or go on from where it was; prints its PSNR on scenes unseen."""
    vae, first = find(bank, work)
    code = latents.read(vae.encoder)
    decoder = vae.decoder.to(memory_format=torch.channels_last).requires_grad_(True)
    optimizer = torch.optim.AdamW(decoder.parameters(), RATE, betas=(0.9, 0.99))
    restore(work / CHECKPOINT, {"optimizer": optimizer})
    judged = batch_of(bank, code, JUDGED, 0, 64)
    start = time.monotonic()
    for step in range(first, steps):
        for group in optimizer.param_groups:
            group["lr"] = rate_at(step, steps)
        latent, pictures = batch_of(bank, code, SEED, step, BATCH)
        rng = torch.Generator().manual_seed(SEED * 10**6 + step)
        noisy = latent + NOISE * torch.randn(latent.shape, generator=rng)
        loss = misfit(vae.decode(noisy).sample - pictures)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(decoder.parameters(), 1.0)
        optimizer.step()
        if (step + 1) % 100 == 0 or step + 1 == steps:
            print(
                f"decoder step {step + 1}/{steps} loss {loss.item():.4f} "
                f"PSNR {psnr(vae, *judged):.2f} dB {time.monotonic() - start:.0f} s",
                flush=True,
            )
            keep(work / CHECKPOINT, {"vae": vae, "optimizer": optimizer}, step + 1)
    return vae.to(memory_format=torch.contiguous_format).requires_grad_(False)


def main() -> None:
    """Train the decoder alone, beside the flow."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=sprites.DEFAULT_CACHE)
    parser.add_argument("--work", type=Path, help="checkpoints; default: CACHE/work")
    parser.add_argument("--steps", type=int, default=STEPS)
    options = parser.parse_args()
    work = options.work or options.cache / "work"
    train(sprites.load(options.cache), work, options.steps)


if __name__ == "__main__":
    main()
