"""Train the reference pipeline from nothing: pictures, autoencoder, flow, prompts, sheet.

Needs npm (or the tarball in the cache folder) and nothing else from the network. A run that was
stopped goes on from its work folder.
Steps and seeds are fixed; floating-point sums are not the same on every machine, so another
machine gives an equally good model and not equal bytes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import decoder
import flow
import prompts
import sheet
import sprites
import torch


def main() -> None:
    """Run all stages in order."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of the pipeline")
    parser.add_argument("--cache", type=Path, default=sprites.DEFAULT_CACHE)
    parser.add_argument("--work", type=Path, help="checkpoints; default: CACHE/work")
    parser.add_argument("--decoder-steps", type=int, default=decoder.STEPS)
    parser.add_argument("--flow-steps", type=int, default=flow.STEPS)
    parser.add_argument("--every", type=int, default=250, help="steps between checkpoints")
    parser.add_argument("--eager", action="store_true", help="do not compile the flow training")
    options = parser.parse_args()
    work = options.work or options.cache / "work"
    torch.set_flush_denormal(True)  # of this process: many moments are next to nothing
    bank = sprites.load(options.cache)
    decoder.train(bank, work, options.decoder_steps)
    flow.train(bank, options.out, work, options.flow_steps, options.every, not options.eager)
    prompts.write(options.out.parent / "prompts")
    sheet.draw_sheet(options.out, options.out / "samples.png")


if __name__ == "__main__":
    main()
