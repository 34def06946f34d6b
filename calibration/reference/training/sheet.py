"""Sample the 32 fixed prompts and lay the pictures out in a labelled sheet.

The first half are combinations that were trained, the second half held out: as many pairs of
subjects that never met as subjects on a ground they never had.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from diffusers import FluxPipeline
from models import TEXT_LENGTH
from PIL import Image, ImageDraw, ImageFont
from prompts import sheet_prompts

SIDE = 64
SHOWN = 144
LABEL = 28
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
        max_sequence_length=TEXT_LENGTH,
        generator=[torch.Generator().manual_seed(seed + i) for i in range(len(prompts))],
    ).images


def in_two_lines(label: str) -> str:
    """A label broken at the space nearest to its middle, when it is long."""
    if len(label) < 26:
        return label
    spaces = [i for i, letter in enumerate(label) if letter == " "]
    middle = min(spaces, key=lambda i: abs(i - len(label) / 2))
    return label[:middle] + "\n" + label[middle + 1 :]


def lay_out(pictures: list[Image.Image], labels: list[str]) -> Image.Image:
    """Enlarged pictures in rows, each above its label."""
    rows = -(-len(pictures) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * SHOWN, rows * (SHOWN + LABEL)), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=10)
    for i, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
        x, y = i % COLUMNS * SHOWN, i // COLUMNS * (SHOWN + LABEL)
        sheet.paste(picture.resize((SHOWN, SHOWN), Image.Resampling.BICUBIC), (x, y))
        place = (x + SHOWN / 2, y + SHOWN + LABEL / 2)
        pen.text(place, in_two_lines(label), "black", font, anchor="mm", align="center")
    return sheet


def draw_sheet(
    folder: Path, out: Path, guidance: float = GUIDANCE, steps: int = STEPS, seed: int = SEED
) -> None:
    """Load the pipeline, sample the fixed prompts and write the sheet."""
    pipeline = FluxPipeline.from_pretrained(folder)
    prompts = sheet_prompts()
    lay_out(sample(pipeline, prompts, guidance, steps, seed), prompts).save(out, optimize=True)


def main() -> None:
    """Draw the sheet of a saved pipeline."""
    here = Path(__file__).parents[1]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pipeline", type=Path, default=here)
    parser.add_argument("--out", type=Path, default=here / "samples.png")
    parser.add_argument("--guidance", type=float, default=GUIDANCE)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seed", type=int, default=SEED)
    options = parser.parse_args()
    draw_sheet(options.pipeline, options.out, options.guidance, options.steps, options.seed)


if __name__ == "__main__":
    main()
