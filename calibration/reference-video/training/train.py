"""Train the video reference from nothing: pictures, flow, autoencoder, prompts, sheet.

Needs npm (or the tarball in the cache folder) and nothing else from the network. A run that was
stopped goes on from its work folder.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import clip_decoder
import clip_flow
import clip_prompts
import clip_sheet
import clips
import sprites
import torch


def main() -> None:
    """Run all stages in order."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of the pipeline")
    parser.add_argument("--cache", type=Path, default=sprites.DEFAULT_CACHE)
    parser.add_argument("--work", type=Path, help="checkpoints; default: CACHE/work")
    parser.add_argument("--decoder-steps", type=int, default=clip_decoder.STEPS)
    parser.add_argument("--flow-steps", type=int, default=clip_flow.STEPS)
    parser.add_argument("--every", type=int, default=250, help="steps between checkpoints")
    options = parser.parse_args()
    work = options.work or options.cache / "work"
    torch.set_flush_denormal(True)  # of this process: many moments are next to nothing
    bank = clips.load(options.cache)
    clip_decoder.train(bank, work, options.decoder_steps)
    clip_flow.train(bank, options.out, work, options.flow_steps, options.every)
    clip_prompts.write(options.out.parent / "prompts")
    clip_sheet.draw_sheet(options.out, options.out / "samples.webp")


if __name__ == "__main__":
    main()
