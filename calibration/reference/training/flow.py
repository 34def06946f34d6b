"""Train the text encoders and the transformer together with the flow-matching loss.

Every step draws its batch and its noise from a generator seeded by the step, and the rate is
constant until the last third: a run that was stopped goes on from its checkpoint exactly as if
it had not been, and the number of steps may be chosen while it runs.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from dataclasses import dataclass
from pathlib import Path

import data
import models
import numpy as np
import text
import torch
import vae as autoencoder
from diffusers import AutoencoderKL, FluxPipeline
from subjects import Record, captions
from torch import nn
from transformers import PreTrainedTokenizerBase

STEPS = 7000
BATCH = 64
RATE = 1e-3
WARM_UP = 200
DECAY_FROM = 0.67
PLAIN_SHARE = 0.75
DROPPED_SHARE = 0.1
TIME_LOCATION = 1.0
EMA_DECAY = 0.999
SEED = 2

Tokenizers = tuple[PreTrainedTokenizerBase, PreTrainedTokenizerBase]


@dataclass
class TrainingSet:
    """Packed latents of every subject, straight and mirrored, and token ids of its captions."""

    latents: torch.Tensor
    clip_ids: torch.Tensor
    t5_ids: torch.Tensor
    plain: list[int]
    total: list[int]
    offsets: list[int]


class Networks(nn.Module):
    """The three networks that are trained, and their loss."""

    def __init__(self, tokenizers: Tokenizers) -> None:
        super().__init__()
        self.transformer = models.make_transformer()
        self.clip = models.make_clip(tokenizers[0])
        self.t5 = models.make_t5(tokenizers[1])
        image_ids, text_ids = models.position_ids()
        self.register_buffer("image_ids", image_ids, persistent=False)
        self.register_buffer("text_ids", text_ids, persistent=False)

    def forward(
        self,
        clean: torch.Tensor,
        clip_ids: torch.Tensor,
        t5_ids: torch.Tensor,
        t: torch.Tensor,
        noise: torch.Tensor,
    ) -> torch.Tensor:
        """Mean squared error of the predicted velocity, noise minus clean."""
        mix = t[:, None, None]
        velocity = self.transformer(
            hidden_states=(1 - mix) * clean + mix * noise,
            timestep=t,
            pooled_projections=self.clip(clip_ids).pooler_output,
            encoder_hidden_states=self.t5(t5_ids)[0],
            img_ids=self.image_ids,
            txt_ids=self.text_ids,
            return_dict=False,
        )[0]
        return (velocity - (noise - clean)).square().mean()


def make_tokenizers(records: list[Record]) -> Tokenizers:
    """Both tokenizers, from the captions of all subjects."""
    corpus = [c for record in records if record["subject"] for c in captions(record)]
    return text.make_clip_tokenizer(corpus), text.make_t5_tokenizer(corpus)


def tokenize(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> torch.Tensor:
    """Token ids, padded as the pipeline pads them."""
    return tokenizer(
        texts,
        padding="max_length",
        max_length=models.TEXT_LENGTH,
        truncation=True,
        return_tensors="pt",
    ).input_ids


def make_set(
    vae: AutoencoderKL, pictures: np.ndarray, records: list[Record], tokenizers: Tokenizers
) -> TrainingSet:
    """Encode every subject and its captions once; caption 0 is the empty one."""
    chosen = data.subject_records(records)
    x = autoencoder.as_tensor(pictures[chosen])
    sides = [models.pack(autoencoder.encode(vae, side)) for side in (x, x.flip(-1))]
    texts, offsets, plain, total = [""], [], [], []
    for i in chosen:
        own = captions(records[i])
        offsets.append(len(texts))
        plain.append(4)
        total.append(len(own))
        texts += own
    ids = [tokenize(tokenizer, texts) for tokenizer in tokenizers]
    return TrainingSet(torch.stack(sides), ids[0], ids[1], plain, total, offsets)


def indices_of(step: int, count: int) -> torch.Tensor:
    """The step's pictures, from one seeded permutation an epoch."""
    wanted = range(step * BATCH, (step + 1) * BATCH)
    orders = {
        epoch: torch.randperm(count, generator=torch.Generator().manual_seed(SEED + epoch))
        for epoch in {position // count for position in wanted}
    }
    return torch.stack([orders[position // count][position % count] for position in wanted])


def batch_of(training: TrainingSet, step: int) -> tuple[torch.Tensor, ...]:
    """The step's latents, token ids, times and noise: always the same for a step."""
    rng = torch.Generator().manual_seed(SEED * 10**6 + step)
    index = indices_of(step, training.latents.shape[1])
    side = torch.randint(2, (BATCH,), generator=rng)
    clean = training.latents[side, index]
    plain, total, first = (
        torch.tensor(part)[index] for part in (training.plain, training.total, training.offsets)
    )
    choices = torch.where(torch.rand(BATCH, generator=rng) < PLAIN_SHARE, plain, total)
    caption = first + (torch.rand(BATCH, generator=rng) * choices).long()
    caption = caption.masked_fill(torch.rand(BATCH, generator=rng) < DROPPED_SHARE, 0)
    t = torch.sigmoid(TIME_LOCATION + torch.randn(BATCH, generator=rng))
    noise = torch.randn(clean.shape, generator=rng)
    return clean, training.clip_ids[caption], training.t5_ids[caption], t, noise


def rate_at(step: int, steps: int) -> float:
    """Warm-up, then constant, then a straight line down to a hundredth."""
    rest = (steps - step) / (steps * (1 - DECAY_FROM))
    return RATE * min(1.0, (step + 1) / WARM_UP) * max(0.01, min(1.0, rest))


def update(average: nn.Module, networks: nn.Module, step: int) -> None:
    """Move the averaged weights towards the trained ones."""
    decay = min(EMA_DECAY, (1 + step) / (10 + step))
    with torch.no_grad():
        torch._foreach_lerp_(list(average.parameters()), list(networks.parameters()), 1 - decay)


def save(pipe_parts: tuple[AutoencoderKL, Tokenizers], average: Networks, out: Path) -> None:
    """Write the pipeline; the transformer's weights in half precision, which load as float32."""
    vae, tokenizers = pipe_parts
    transformer = copy.deepcopy(average.transformer).half()
    encoders = (average.clip, average.t5)
    pipeline: FluxPipeline = models.make_pipeline(vae, transformer, encoders, tokenizers)
    pipeline.save_pretrained(out)
    index = out / "model_index.json"  # name the class that older transformers know, too
    named = index.read_text(encoding="utf-8").replace(
        "TokenizersBackend", "PreTrainedTokenizerFast"
    )
    index.write_text(named, encoding="utf-8")
    config = out / "vae" / "config.json"  # without the place that the autoencoder was loaded from
    settings = json.loads(config.read_text(encoding="utf-8"))
    settings.pop("_name_or_path", None)
    config.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def optimizer_of(networks: Networks) -> torch.optim.AdamW:
    """AdamW with a little weight decay on matrices."""
    matrices = [p for p in networks.parameters() if p.ndim > 1]
    others = [p for p in networks.parameters() if p.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, RATE, betas=(0.9, 0.98))


def train(
    vae: AutoencoderKL,
    pictures: np.ndarray,
    records: list[Record],
    out: Path,
    work: Path,
    steps: int = STEPS,
    every: int = 1000,
    compiled: bool = True,
) -> None:
    """Train, or go on from the work folder's checkpoint, and write the pipeline to a folder."""
    torch.manual_seed(SEED)
    tokenizers = make_tokenizers(records)
    training = make_set(vae, pictures, records, tokenizers)
    networks = Networks(tokenizers)
    average = copy.deepcopy(networks).requires_grad_(False)
    optimizer = optimizer_of(networks)
    checkpoint = work / "flow.pt"
    first = restore(checkpoint, networks, average, optimizer)
    run = torch.compile(networks) if compiled else networks
    start, losses = time.monotonic(), []
    for step in range(first, steps):
        for group in optimizer.param_groups:
            group["lr"] = rate_at(step, steps)
        loss = run(*batch_of(training, step))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(networks.parameters(), 1.0)
        optimizer.step()
        update(average, networks, step)
        losses.append(loss.item())
        if (step + 1) % 100 == 0:
            report(step + 1, steps, losses[-100:], first, start, training.latents.shape[1])
        if (step + 1) % every == 0 and step + 1 < steps:
            keep(checkpoint, networks, average, optimizer, step + 1)
            save((vae, tokenizers), average, work / "interim")
    save((vae, tokenizers), average, out)


def report(step: int, steps: int, losses: list[float], first: int, start: float, n: int) -> None:
    """Print a line of progress."""
    speed = (step - first) * BATCH / (time.monotonic() - start)
    print(
        f"flow step {step}/{steps} epoch {step * BATCH / n:.0f} loss {np.mean(losses):.4f} "
        f"rate {rate_at(step, steps):.1e} {speed:.0f} samples/s {time.monotonic() - start:.0f} s",
        flush=True,
    )


def keep(
    path: Path, networks: Networks, average: Networks, optimizer: torch.optim.AdamW, step: int
) -> None:
    """Write the checkpoint, whole or not at all."""
    state = {
        "networks": networks.state_dict(),
        "average": average.state_dict(),
        "optimizer": optimizer.state_dict(),
        "step": step,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(state, path.with_suffix(".tmp"))
    path.with_suffix(".tmp").replace(path)


def restore(path: Path, networks: Networks, average: Networks, optimizer: torch.optim.AdamW) -> int:
    """Load the checkpoint, if there is one; the number of steps that were done."""
    if not path.exists():
        return 0
    state = torch.load(path, weights_only=True)
    networks.load_state_dict(state["networks"])
    average.load_state_dict(state["average"])
    optimizer.load_state_dict(state["optimizer"])
    return state["step"]


def main() -> None:
    """Train the flow alone, with an autoencoder that is there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=data.DEFAULT_CACHE)
    parser.add_argument("--vae", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--every", type=int, default=1000, help="steps between checkpoints")
    parser.add_argument("--eager", action="store_true", help="do not compile")
    options = parser.parse_args()
    pictures, records = data.load(options.cache)
    vae = AutoencoderKL.from_pretrained(options.vae).eval()
    train(
        vae,
        pictures,
        records,
        options.out,
        options.work,
        options.steps,
        options.every,
        not options.eager,
    )


if __name__ == "__main__":
    main()
