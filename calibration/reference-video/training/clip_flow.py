"""Train the text encoder and the transformer together with the flow-matching loss.

As the image reference is trained: every step draws its clips, their prompts and the noise from
generators seeded by the step, and the rate is constant until the last steps, so that a run that
was stopped goes on from its checkpoint and the number of steps may be chosen while it runs.
"""

from __future__ import annotations

import argparse
import copy
import time
from dataclasses import dataclass
from pathlib import Path

import clip_decoder
import clip_latents
import clip_models
import clips
import motions
import numpy as np
import shared  # noqa: F401
import sprites
import torch
from checkpoint import keep, restore
from clip_latents import Code
from clip_networks import Networks
from clip_pipeline import save
from clips import Bank
from flow import DROPPED_SHARE, TIME_LOCATION, advance, report, update
from halves import halve
from networks import RATE, optimizers_of, tokenize
from transformers import PreTrainedTokenizerBase

STEPS = 6000
VARIED_STEPS = 3000
DECAY_STEPS = 2000
BATCH = 64
WARM_UP = 100
SEED = 12
CHECKPOINT = "clip-flow.pt"


@dataclass(frozen=True)
class Source:
    """What batches are made of: the clips' code, the sprites and the tokenizer."""

    code: Code
    bank: Bank
    tokenizer: PreTrainedTokenizerBase


def batch_of(source: Source, step: int) -> tuple[torch.Tensor, ...]:
    """The step's latents, token ids, times and noise: the same for a step."""
    rng = np.random.default_rng([SEED, step])
    drawn = clips.draw(rng, BATCH, varied=step < VARIED_STEPS)
    prompts = motions.say(rng, drawn.scenes, drawn.motion)
    dropped = rng.random(BATCH) < DROPPED_SHARE
    prompts = ["" if drop else prompt for prompt, drop in zip(prompts, dropped, strict=True)]
    clean = source.code.encode(clips.paint(drawn, source.bank))
    generator = torch.Generator().manual_seed(SEED * 10**6 + step)
    t = torch.sigmoid(TIME_LOCATION + torch.randn(BATCH, generator=generator))
    noise = torch.randn(clean.shape, generator=generator)
    return clean, tokenize(source.tokenizer, prompts), t, noise


def rate_at(step: int, steps: int) -> float:
    """Warm-up, then constant, then a straight line down to a hundredth."""
    begun = min(1.0, (step + 1) / WARM_UP)
    return RATE * begun * max(0.01, min(1.0, (steps - step) / DECAY_STEPS))


def train(bank: Bank, out: Path, work: Path, steps: int, every: int) -> None:
    """Train, or go on from a checkpoint, and write the pipeline to a folder.

    What is written has the autoencoder as far as it is trained then.
    """
    torch.manual_seed(SEED)
    tokenizer = clip_models.make_tokenizer()
    source = Source(clip_latents.fit(bank), bank, tokenizer)
    networks = Networks(tokenizer)
    average = copy.deepcopy(networks).requires_grad_(False)
    halve(networks)
    optimizers = optimizers_of(networks, dtype=torch.bfloat16)
    parts = {"networks": networks, "average": average}
    parts |= {f"optimizer {i}": optimizer for i, optimizer in enumerate(optimizers)}
    first = restore(work / CHECKPOINT, parts)
    start, losses = time.monotonic(), []
    for step in range(first, steps):
        rate = rate_at(step, steps)
        losses.append(advance(networks, networks, optimizers, batch_of(source, step), rate))
        update(average, networks, step)
        if (step + 1) % 100 == 0:
            report(step + 1, steps, losses[-100:], rate, (step + 1 - first), start)
        if (step + 1) % every == 0 and step + 1 < steps:
            keep(work / CHECKPOINT, parts, step + 1)
            save(clip_decoder.find(work)[0], tokenizer, average, work / "interim")
    keep(work / CHECKPOINT, parts, steps)
    save(clip_decoder.find(work)[0], tokenizer, average, out)


def main() -> None:
    """Train the flow alone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of the pipeline")
    parser.add_argument("--cache", type=Path, default=sprites.DEFAULT_CACHE)
    parser.add_argument("--work", type=Path, help="checkpoints; default: CACHE/work")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--every", type=int, default=250, help="steps between checkpoints")
    options = parser.parse_args()
    torch.set_flush_denormal(True)  # of this process: many moments are next to nothing
    work = options.work or options.cache / "work"
    train(clips.load(options.cache), options.out, work, options.steps, options.every)


if __name__ == "__main__":
    main()
