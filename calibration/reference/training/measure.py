"""Measure the facts that the model card states: sizes, parameters, PSNR, speed."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import decoder
import latents
import models
import sprites
import torch
from diffusers import FluxPipeline
from prompts import calibration_prompts
from sheet import GUIDANCE, STEPS, sample

PARTS = ("transformer", "vae", "text_encoder", "text_encoder_2")
JUDGED = 512


def megabytes(folder: Path) -> float:
    """The size of a folder's files."""
    return sum(file.stat().st_size for file in folder.iterdir()) / 1e6


def facts(folder: Path, cache: Path) -> dict[str, object]:
    """Everything that is measured, by name; wall times are of as many threads as torch has."""
    pipeline = FluxPipeline.from_pretrained(folder)
    code = latents.read(pipeline.vae.encoder)
    judged = decoder.batch_of(sprites.load(cache), code, decoder.JUDGED, 0, JUDGED)
    sample(pipeline, calibration_prompts()[:1], GUIDANCE, 2, 0)
    return {
        "parameters": {part: models.parameters(getattr(pipeline, part)) for part in PARTS},
        "megabytes": {
            part: megabytes(folder / part)
            for part in (*PARTS, "tokenizer", "tokenizer_2", "scheduler")
        },
        "autoencoder_psnr_db": decoder.psnr(pipeline.vae, *judged),
        "seconds_50_steps_with_guidance": seconds(pipeline, 1),
        "the_same_in_a_batch_of_16": seconds(pipeline, 16),
        "threads": torch.get_num_threads(),
    }


def seconds(pipeline: FluxPipeline, batch: int) -> float:
    """Of one sample of 50 steps with guidance, made in a batch of so many."""
    start = time.monotonic()
    sample(pipeline, calibration_prompts()[:batch], GUIDANCE, STEPS, 0)
    return (time.monotonic() - start) / batch


def main() -> None:
    """Print the facts as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pipeline", type=Path, default=Path(__file__).parents[1])
    parser.add_argument("--cache", type=Path, default=sprites.DEFAULT_CACHE)
    options = parser.parse_args()
    print(json.dumps(facts(options.pipeline, options.cache), indent=2))


if __name__ == "__main__":
    main()
