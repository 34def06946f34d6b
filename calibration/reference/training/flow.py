"""Train the text encoders and the transformer together with the flow-matching loss.

Every step draws its scenes, their prompts and the noise from generators seeded by the step, and
the rate is constant until the last steps: a run that was stopped goes on from its checkpoint
exactly as if it had not been, and the number of steps may be chosen while it runs.
"""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass
from pathlib import Path

import decoder
import models
import numpy as np
import scenes
import torch
import wordings
from checkpoint import keep, restore
from latents import Code, read
from networks import RATE, Networks, optimizers_of, tokenize
from pipeline import save
from sprites import Bank
from text import Tokenizers, make_tokenizers

STEPS = 15_700
DECAY_STEPS = 4_000
BATCH = 64
WARM_UP = 200
PAIR_SHARE = 0.65
DROPPED_SHARE = 0.1
TIME_LOCATION = 0.8
EMA_DECAY = 0.999
SEED = 2


@dataclass(frozen=True)
class Source:
    """What batches are made of: the pictures' code, the sprites and the tokenizers."""

    code: Code
    bank: Bank
    tokenizers: Tokenizers


def batch_of(source: Source, step: int) -> tuple[torch.Tensor, ...]:
    """The step's packed latents, token ids (CLIP, T5), times and noise: the same for a step."""
    rng = np.random.default_rng([SEED, step])
    drawn = scenes.draw(rng, BATCH, PAIR_SHARE)
    prompts = wordings.say(rng, drawn)
    dropped = rng.random(BATCH) < DROPPED_SHARE
    prompts = ["" if drop else prompt for prompt, drop in zip(prompts, dropped, strict=True)]
    clean = models.pack(source.code.encode(scenes.paint(drawn, source.bank)))
    ids = [tokenize(tokenizer, prompts) for tokenizer in source.tokenizers]
    generator = torch.Generator().manual_seed(SEED * 10**6 + step)
    t = torch.sigmoid(TIME_LOCATION + torch.randn(BATCH, generator=generator))
    return clean, ids[0], ids[1], t, torch.randn(clean.shape, generator=generator)


def rate_at(step: int, steps: int) -> float:
    """Warm-up, then constant, then a straight line down to a hundredth."""
    begun = min(1.0, (step + 1) / WARM_UP)
    return RATE * begun * max(0.01, min(1.0, (steps - step) / DECAY_STEPS))


def update(average: Networks, networks: Networks, step: int) -> None:
    """Move the averaged weights towards the trained ones."""
    decay = min(EMA_DECAY, (1 + step) / (10 + step))
    with torch.no_grad():
        torch._foreach_lerp_(list(average.parameters()), list(networks.parameters()), 1 - decay)


def train(bank: Bank, out: Path, work: Path, steps: int, every: int, compiled: bool) -> None:
    """Train, or go on from a checkpoint, and write the pipeline to a folder.

    The autoencoder's decoder may be trained meanwhile: what is written has it as it is then.
    """
    torch.manual_seed(SEED)
    tokenizers = make_tokenizers()
    source = Source(read(decoder.find(bank, work)[0].encoder), bank, tokenizers)
    networks = Networks(tokenizers)
    average = copy.deepcopy(networks).requires_grad_(False)
    optimizers = optimizers_of(networks)
    parts = {"networks": networks, "average": average}
    parts |= {f"optimizer {i}": optimizer for i, optimizer in enumerate(optimizers)}
    first = restore(work / "flow.pt", parts)
    run = torch.compile(networks) if compiled else networks
    start, losses = time.monotonic(), []
    for step in range(first, steps):
        rate = rate_at(step, steps)
        losses.append(advance(run, networks, optimizers, batch_of(source, step), rate))
        update(average, networks, step)
        if (step + 1) % 100 == 0:
            report(step + 1, steps, losses[-100:], rate, (step + 1 - first), start)
        if (step + 1) % every == 0 and step + 1 < steps:
            keep(work / "flow.pt", parts, step + 1)
            save(decoder.find(bank, work)[0], tokenizers, average, work / "interim")
    save(decoder.find(bank, work)[0], tokenizers, average, out)


def advance(
    run: torch.nn.Module,
    networks: Networks,
    optimizers: list[torch.optim.Optimizer],
    batch: tuple[torch.Tensor, ...],
    rate: float,
) -> float:
    """One step of all optimizers at a rate; the loss before it."""
    loss = run(*batch)
    networks.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(networks.parameters(), 1.0)
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
    return loss.item()


def report(
    step: int, steps: int, losses: list[float], rate: float, done: int, start: float
) -> None:
    """Print a line of progress."""
    seconds = time.monotonic() - start
    print(
        f"flow step {step}/{steps} scenes {step * BATCH} loss {np.mean(losses):.4f} "
        f"rate {rate:.1e} {done * BATCH / seconds:.0f} scenes/s {seconds:.0f} s",
        flush=True,
    )
