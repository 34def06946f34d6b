"""Train the autoencoder, and whiten its latents so that scaling is 1 and shift is 0."""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import data
import models
import numpy as np
import torch
from diffusers import AutoencoderKL
from subjects import Record

STEPS = 2600
BATCH = 16
RATE = 1.5e-3
WARM_UP = 100
KL_WEIGHT = 2e-4
SUBJECT_SHARE = 0.6
SEED = 1


def to_float(pictures: torch.Tensor) -> torch.Tensor:
    """Bytes as values from -1 to 1."""
    return pictures.float().div(127.5).sub(1)


def as_tensor(pictures: np.ndarray) -> torch.Tensor:
    """The byte array with the channels first."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2)


def loss_of(vae: AutoencoderKL, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Reconstruction and edge error with a weak KL term; and the mean posterior deviation."""
    posterior = vae.encode(x).latent_dist
    error = vae.decode(posterior.sample()).sample - x
    edges = (error[..., 1:] - error[..., :-1]).abs().mean()
    edges = edges + (error[..., 1:, :] - error[..., :-1, :]).abs().mean()
    kl = 0.5 * (posterior.mean.square() + posterior.var - 1 - posterior.logvar).mean()
    fit = error.abs().mean() + error.square().mean() + 0.5 * edges
    return fit + KL_WEIGHT * kl, posterior.std.mean()


def batch_of(
    pictures: torch.Tensor, subjects: torch.Tensor, others: torch.Tensor, step: int
) -> torch.Tensor:
    """The step's batch: mostly subjects, flipped and shifted at random, always the same."""
    rng = torch.Generator().manual_seed(SEED * 10**6 + step)
    count = round(SUBJECT_SHARE * BATCH)
    first = subjects[torch.randint(len(subjects), (count,), generator=rng)]
    second = others[torch.randint(len(others), (BATCH - count,), generator=rng)]
    x = pictures[torch.cat([first, second])]
    flip = torch.rand(BATCH, generator=rng) < 0.5
    x = torch.where(flip[:, None, None, None], x.flip(-1), x)
    down, right = torch.randint(-3, 4, (2,), generator=rng).tolist()
    if step % 2:
        x = x.roll((down, right), (2, 3))
    return to_float(x).contiguous(memory_format=torch.channels_last)


def rate_at(step: int, steps: int) -> float:
    """Warm-up, then a cosine down to a fiftieth."""
    cosine = 0.5 * (1 + math.cos(math.pi * step / steps))
    return RATE * min(1.0, (step + 1) / WARM_UP) * (0.02 + 0.98 * cosine)


@torch.no_grad()
def encode(vae: AutoencoderKL, pictures: torch.Tensor) -> torch.Tensor:
    """The latents (posterior modes) of byte pictures."""
    return torch.cat([vae.encode(to_float(x)).latent_dist.mode() for x in pictures.split(64)])


@torch.no_grad()
def psnr(vae: AutoencoderKL, pictures: torch.Tensor) -> float:
    """Mean PSNR in dB of the reconstructions of byte pictures, over pictures."""
    values = []
    for x in pictures.split(64):
        y = vae.decode(encode(vae, x)).sample.clamp(-1, 1)
        values.append(10 * torch.log10(4 / (y - to_float(x)).square().mean((1, 2, 3))))
    return float(torch.cat(values).mean())


@torch.no_grad()
def whiten(vae: AutoencoderKL, pictures: torch.Tensor) -> None:
    """Fold the latents' mean and deviation per channel into the two 1 x 1 convolutions."""
    latents = encode(vae, pictures)
    mean, std = latents.mean((0, 2, 3)), latents.std((0, 2, 3))
    count = len(mean)
    before, after = vae.quant_conv, vae.post_quant_conv
    assert before is not None
    assert after is not None
    assert before.bias is not None
    assert after.bias is not None
    before.weight[:count] /= std[:, None, None, None]
    before.bias[:count] = (before.bias[:count] - mean) / std
    before.bias[count:] -= 2 * std.log()
    after.bias += after.weight[:, :, 0, 0] @ mean
    after.weight *= std[None, :, None, None]


def keep(path: Path, vae: AutoencoderKL, optimizer: torch.optim.AdamW, step: int) -> None:
    """Write the checkpoint, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {"vae": vae.state_dict(), "optimizer": optimizer.state_dict(), "step": step}
    torch.save(state, path.with_suffix(".tmp"))
    path.with_suffix(".tmp").replace(path)


def restore(path: Path, vae: AutoencoderKL, optimizer: torch.optim.AdamW) -> int:
    """Load the checkpoint, if there is one; the number of steps that were done."""
    if not path.exists():
        return 0
    state = torch.load(path, weights_only=True)
    vae.load_state_dict(state["vae"])
    optimizer.load_state_dict(state["optimizer"])
    return state["step"]


def train(
    pictures: np.ndarray, records: list[Record], work: Path, steps: int = STEPS
) -> AutoencoderKL:
    """Train, or go on from the work folder's checkpoint; prints the PSNR on held-out pictures."""
    torch.manual_seed(SEED)
    every = as_tensor(pictures)
    subjects, held = data.subject_records(records), data.held_out_records(records)
    others = sorted(set(range(len(records))) - set(subjects) - set(held))
    vae = models.make_vae().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(vae.parameters(), RATE, betas=(0.9, 0.99), weight_decay=1e-4)
    checkpoint = work / "vae.pt"
    first = restore(checkpoint, vae, optimizer)
    start = time.monotonic()
    for step in range(first, steps):
        for group in optimizer.param_groups:
            group["lr"] = rate_at(step, steps)
        x = batch_of(every, torch.tensor(subjects), torch.tensor(others), step)
        loss, deviation = loss_of(vae, x)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        if (step + 1) % 100 == 0:
            print(
                f"vae step {step + 1}/{steps} loss {loss.item():.4f} std {deviation.item():.3f} "
                f"PSNR held-out {psnr(vae, every[held]):.2f} subjects "
                f"{psnr(vae, every[subjects[:64]]):.2f} dB {time.monotonic() - start:.0f} s",
                flush=True,
            )
            keep(checkpoint, vae, optimizer, step + 1)
    vae.eval()
    whiten(vae, every[subjects])
    return vae.to(memory_format=torch.contiguous_format)


def main() -> None:
    """Train the autoencoder alone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=data.DEFAULT_CACHE)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=STEPS)
    options = parser.parse_args()
    pictures, records = data.load(options.cache)
    train(pictures, records, options.work, options.steps).save_pretrained(options.out)


if __name__ == "__main__":
    main()
