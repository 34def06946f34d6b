"""Measure the facts that the card states: sizes, parameters, and how good the autoencoder is."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import clip_decoder
import clip_latents
import clips
import shared  # noqa: F401
import sprites
from diffusers import WanPipeline
from measure import megabytes
from models import parameters

PARTS = ("transformer", "vae", "text_encoder")
JUDGED = 128


def facts(folder: Path, cache: Path) -> dict[str, object]:
    """Everything that is measured, by name."""
    pipeline = WanPipeline.from_pretrained(folder)
    bank = clips.load(cache)
    judged = clip_decoder.batch_of(bank, clip_latents.fit(bank), clip_decoder.JUDGED, 0, JUDGED)
    files = [file for file in folder.rglob("*") if file.is_file() and file.suffix != ".py"]
    return {
        "parameters": {part: parameters(getattr(pipeline, part)) for part in PARTS},
        "megabytes": {part: megabytes(folder / part) for part in (*PARTS, "tokenizer")},
        "megabytes_in_all": sum(file.stat().st_size for file in files) / 1e6,
        "autoencoder_psnr_db": clip_decoder.psnr(pipeline.vae, *judged),
        "missed_by_the_encoder": clip_decoder.missed_share(pipeline.vae, *judged),
    }


def main() -> None:
    """Print the facts as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pipeline", type=Path, default=Path(__file__).parents[1])
    parser.add_argument("--cache", type=Path, default=sprites.DEFAULT_CACHE)
    options = parser.parse_args()
    print(json.dumps(facts(options.pipeline, options.cache), indent=2))


if __name__ == "__main__":
    main()
