"""Measure the facts that the model card states: sizes, parameters, PSNR, speed."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import data
import models
import torch
import vae as autoencoder
from diffusers import FluxPipeline
from sample_grid import GUIDANCE, sample

PARTS = ("transformer", "vae", "text_encoder", "text_encoder_2")


def facts(folder: Path, cache: Path) -> dict[str, object]:
    """Everything that is measured, by name."""
    pipeline = FluxPipeline.from_pretrained(folder)
    pictures, records = data.load(cache)
    every = autoencoder.as_tensor(pictures)
    subjects, held = data.subject_records(records), data.held_out_records(records)
    sample(pipeline, ["a red apple emoji"], GUIDANCE, 2, 0)
    start = time.monotonic()
    sample(pipeline, ["a red apple emoji"], GUIDANCE, 50, 0)
    seconds = time.monotonic() - start
    return {
        "parameters": {part: models.parameters(getattr(pipeline, part)) for part in PARTS},
        "dtypes": {part: str(getattr(pipeline, part).dtype) for part in PARTS},
        "megabytes": {
            part: sum(f.stat().st_size for f in (folder / part).iterdir()) / 1e6
            for part in (*PARTS, "tokenizer", "tokenizer_2", "scheduler")
        },
        "subjects": len(subjects),
        "autoencoder_training_pictures": len(records) - len(held),
        "held_out_pictures": len(held),
        "psnr_held_out_db": autoencoder.psnr(pipeline.vae, every[held]),
        "psnr_subjects_db": autoencoder.psnr(pipeline.vae, every[subjects]),
        "seconds_50_steps_with_guidance": seconds,
        "threads": torch.get_num_threads(),
    }


def main() -> None:
    """Print the facts as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pipeline", type=Path, default=Path(__file__).parents[1])
    parser.add_argument("--cache", type=Path, default=data.DEFAULT_CACHE)
    options = parser.parse_args()
    print(json.dumps(facts(options.pipeline, options.cache), indent=2))


if __name__ == "__main__":
    main()
