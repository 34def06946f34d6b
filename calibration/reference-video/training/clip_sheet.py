"""Sample the fixed prompts, and lay the clips out in a labelled sheet that moves.

The first half are combinations that were trained, the second half held out: in turn pairs that
never met, subjects on a ground that they never had, and subjects in a motion that they never made.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import shared  # noqa: F401
import torch
from clip_prompts import sheet_prompts
from clips import FRAMES, SIDE
from diffusers import WanPipeline
from models import TEXT_LENGTH
from PIL import Image
from sheet import SHOWN, lay_out

SEED = 0
GUIDANCE = 2.5
STEPS = 50
MILLISECONDS = 125


def sample(
    pipeline: WanPipeline, prompts: list[str], guidance: float, steps: int, seed: int
) -> np.ndarray:
    """A clip for each prompt, n x 9 x 48 x 48 x 3, uint8, each from its own seeded noise."""
    pipeline.set_progress_bar_config(disable=True)
    found = pipeline(
        prompts,
        guidance_scale=guidance,
        height=SIDE,
        width=SIDE,
        num_frames=FRAMES,
        num_inference_steps=steps,
        max_sequence_length=TEXT_LENGTH,
        generator=[torch.Generator().manual_seed(seed + i) for i in range(len(prompts))],
    ).frames
    return (np.asarray(found) * 255).round().astype(np.uint8)


def moving_sheet(found: np.ndarray, prompts: list[str]) -> list[Image.Image]:
    """A sheet for each frame."""
    return [lay_out([Image.fromarray(clip[t]) for clip in found], prompts) for t in range(FRAMES)]


def still_sheet(found: np.ndarray) -> Image.Image:
    """All frames of all clips, a clip a row, in two columns."""
    rows = [np.concatenate(list(clip), 1) for clip in found]
    half = -(-len(rows) // 2)
    columns = [np.concatenate(rows[:half], 0), np.concatenate(rows[half:], 0)]
    return Image.fromarray(np.concatenate(columns, 1))


def draw_sheet(
    folder: Path, out: Path, guidance: float = GUIDANCE, steps: int = STEPS, seed: int = SEED
) -> None:
    """Load the pipeline, sample the fixed prompts and write the sheet: moving, or still as PNG."""
    pipeline = WanPipeline.from_pretrained(folder)
    prompts = sheet_prompts()
    found = sample(pipeline, prompts, guidance, steps, seed)
    if out.suffix == ".png":
        still_sheet(found).resize((18 * SHOWN // 2, len(prompts) * SHOWN // 4)).save(out)
        return
    first, *others = moving_sheet(found, prompts)
    first.save(out, save_all=True, append_images=others, duration=MILLISECONDS, loop=0, quality=85)


def main() -> None:
    """Draw the sheet of a saved pipeline."""
    here = Path(__file__).parents[1]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pipeline", type=Path, default=here)
    parser.add_argument("--out", type=Path, default=here / "samples.webp")
    parser.add_argument("--guidance", type=float, default=GUIDANCE)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seed", type=int, default=SEED)
    options = parser.parse_args()
    draw_sheet(options.pipeline, options.out, options.guidance, options.steps, options.seed)


if __name__ == "__main__":
    main()
