"""Sample the 32 fixed prompts and lay the pictures out in a labelled grid."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from diffusers import FluxPipeline
from PIL import Image, ImageDraw, ImageFont
from subjects import GRID_PROMPTS

SIDE = 64
SHOWN = 112
LABEL = 16
COLUMNS = 8
SEED = 0
GUIDANCE = 2.5
STEPS = 50


def sample(
    pipeline: FluxPipeline, prompts: list[str], guidance: float, steps: int, seed: int
) -> list[Image.Image]:
    """One picture a prompt, each from its own seeded noise."""
    pipeline.set_progress_bar_config(disable=True)
    return pipeline(
        prompts,
        negative_prompt=[""] * len(prompts) if guidance > 1 else None,
        true_cfg_scale=guidance,
        height=SIDE,
        width=SIDE,
        num_inference_steps=steps,
        max_sequence_length=16,
        generator=[torch.Generator().manual_seed(seed + i) for i in range(len(prompts))],
    ).images


def lay_out(pictures: list[Image.Image], labels: list[str]) -> Image.Image:
    """Enlarged pictures in rows, each above its label."""
    rows = -(-len(pictures) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * SHOWN, rows * (SHOWN + LABEL)), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=9)
    for i, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
        x, y = i % COLUMNS * SHOWN, i // COLUMNS * (SHOWN + LABEL)
        sheet.paste(picture.resize((SHOWN, SHOWN), Image.Resampling.BICUBIC), (x, y))
        pen.text((x + SHOWN / 2, y + SHOWN + LABEL / 2), label, "black", font, anchor="mm")
    return sheet


def draw_grid(
    folder: Path, out: Path, guidance: float = GUIDANCE, steps: int = STEPS, seed: int = SEED
) -> None:
    """Load the pipeline, sample the fixed prompts and write the sheet."""
    pipeline = FluxPipeline.from_pretrained(folder)
    prompts = list(GRID_PROMPTS)
    lay_out(sample(pipeline, prompts, guidance, steps, seed), prompts).save(out, optimize=True)


def main() -> None:
    """Draw the grid of a saved pipeline."""
    here = Path(__file__).parents[1]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pipeline", type=Path, default=here)
    parser.add_argument("--out", type=Path, default=here / "samples.png")
    parser.add_argument("--guidance", type=float, default=GUIDANCE)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seed", type=int, default=SEED)
    options = parser.parse_args()
    draw_grid(options.pipeline, options.out, options.guidance, options.steps, options.seed)


if __name__ == "__main__":
    main()
