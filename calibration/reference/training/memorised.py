"""Has the model learnt scenes by heart? Figures that say no, and their bars.

- Samples of one prompt from different seeds differ from each other about as much as scenes do
  that are drawn anew for that prompt: the ratio of mean squared distances of pictures.
- Samples are no nearer to their nearest of 50,000 scenes that were trained on than scenes drawn
  anew are to theirs: the ratio of median distances of latents. A blurred picture is nearer to any
  other; so two figures without a bar put 50,000 scenes that were never seen in their place, for
  samples and for scenes drawn anew, where nothing but chance makes the difference.

Scenes go through the autoencoder first, as samples come out of it. Run
``python calibration/reference/training/memorised.py``: minutes on one core.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import flow
import latents
import numpy as np
import scenes
import sprites
import torch
from decoder import to_float
from diffusers import FluxPipeline
from latents import Code
from prompts import calibration_prompts
from redrawn import redraw
from sheet import GUIDANCE, STEPS, sample
from sprites import Bank
from wordings import parse

PROMPTS, SEEDS = 24, 8
TRAINED = 50_000
SEED = 7
LEAST, MOST, NOT_NEARER = 0.7, 1.3, 0.98
MISSED = 3


def spread_within(pictures: torch.Tensor) -> float:
    """Mean squared distance between two of n pictures as values, n x 3 x 64 x 64."""
    flat = pictures.flatten(1).double()
    return float(2 * flat.var(dim=0, unbiased=True).mean())


def nearest(some: torch.Tensor, many: torch.Tensor) -> torch.Tensor:
    """Distance of each of some latents to its nearest of many, both flat: n x 1024, m x 1024."""
    return torch.cat([torch.cdist(part, many).min(dim=1).values for part in some.split(32)])


def drawn_latents(bank: Bank, code: Code, seed: int, count: int) -> torch.Tensor:
    """Flat latents of scenes as training draws them, count x 1024; of `flow.SEED` its first."""
    batches = []
    for step in range(-(-count // flow.BATCH)):
        rng = np.random.default_rng([seed, step])
        batches.append(code.encode(scenes.paint(scenes.draw(rng, flow.BATCH), bank)).flatten(1))
    return torch.cat(batches)[:count]


@torch.no_grad()
def rebuilt(pipeline: FluxPipeline, pictures: np.ndarray) -> torch.Tensor:
    """Pictures, uint8, through the autoencoder, as values from -1 to 1."""
    encoded = pipeline.vae.encode(to_float(pictures)).latents
    return pipeline.vae.decode(encoded).sample.clamp(-1, 1)


def measure(
    pipeline: FluxPipeline, bank: Bank, count: int, trained: int
) -> tuple[float, float, float, float]:
    """The four ratios, from so many prompts and so many scenes that were trained on."""
    code = latents.read(pipeline.vae.encoder)
    rng = np.random.default_rng(SEED)
    known, unseen = (drawn_latents(bank, code, s, trained) for s in (flow.SEED, SEED))
    spreads, distances = [], []
    for k, prompt in enumerate(calibration_prompts()[:count]):
        made = sample(pipeline, [prompt] * SEEDS, GUIDANCE, STEPS, 1000 * k)
        samples = to_float(np.stack([np.asarray(picture) for picture in made]))
        fresh = rebuilt(pipeline, scenes.paint(redraw(rng, parse(prompt), 4 * SEEDS), bank))
        spreads.append((spread_within(samples), spread_within(fresh)))
        both = [code.encode(as_bytes(pictures)).flatten(1) for pictures in (samples, fresh[:SEEDS])]
        pairs = [(part, many) for many in (known, unseen) for part in both]
        distances.append(torch.stack([nearest(part, many) for part, many in pairs]))
        print(f"{spreads[-1][0] / spreads[-1][1]:6.2f}  {prompt}", flush=True)
    own, drawn = np.mean(spreads, axis=0)
    off, fresh_off, *unseen_off = torch.cat(distances, dim=1).median(dim=1).values.tolist()
    return own / drawn, off / fresh_off, off / unseen_off[0], fresh_off / unseen_off[1]


def as_bytes(pictures: torch.Tensor) -> np.ndarray:
    """Values from -1 to 1, n x 3 x 64 x 64, as uint8, n x 64 x 64 x 3."""
    return pictures.permute(0, 2, 3, 1).add(1).mul(127.5).round().byte().numpy()


def main() -> None:
    """Print the ratios; the exit status is 3 when a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pipeline", type=Path, default=Path(__file__).parents[1])
    parser.add_argument("--cache", type=Path, default=sprites.DEFAULT_CACHE)
    parser.add_argument("--prompts", type=int, default=PROMPTS)
    parser.add_argument("--trained", type=int, default=TRAINED)
    options = parser.parse_args()
    pipeline = FluxPipeline.from_pretrained(options.pipeline)
    bank = sprites.load(options.cache)
    spread, near, control, chance = measure(pipeline, bank, options.prompts, options.trained)
    print(f"seeds of a prompt differ by {spread:.2f} of what scenes do (to be {LEAST} to {MOST})")
    print(f"samples' distance to trained scenes by fresh ones': {near:.3f} (>= {NOT_NEARER})")
    print(f"by their own to scenes never seen: {control:.3f}, and fresh ones' so: {chance:.3f}")
    sys.exit(0 if LEAST <= spread <= MOST and near >= NOT_NEARER else MISSED)


if __name__ == "__main__":
    main()
