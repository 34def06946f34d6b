"""Train the reference model from nothing: data, prompts, autoencoder, flow, grid.

Needs npm (or the two tarballs in the cache folder) and nothing else from the network. A run that
was stopped goes on from its work folder. Steps and seeds are fixed; floating-point sums are not
the same on every machine, so another machine gives an equally good model and not equal bytes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import data
import decoder
import flow
import prompts
import sample_grid
import vae as autoencoder
from diffusers import AutoencoderKL


def main() -> None:
    """Run all stages in order."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of the pipeline")
    parser.add_argument("--cache", type=Path, default=data.DEFAULT_CACHE)
    parser.add_argument("--work", type=Path, help="checkpoints; default: CACHE/work")
    parser.add_argument("--vae-steps", type=int, default=autoencoder.STEPS)
    parser.add_argument("--decoder-steps", type=int, default=decoder.STEPS)
    parser.add_argument("--flow-steps", type=int, default=flow.STEPS)
    parser.add_argument("--eager", action="store_true", help="do not compile the flow training")
    options = parser.parse_args()
    work = options.work or options.cache / "work"
    pictures, records = data.load(options.cache)
    prompts.write(records, options.out.parent / "prompts")
    if not (work / "vae" / "config.json").exists():
        trained = autoencoder.train(pictures, records, work, options.vae_steps)
        decoder.train(trained, pictures, records, options.decoder_steps)
        trained.save_pretrained(work / "vae")
    vae = AutoencoderKL.from_pretrained(work / "vae").eval()
    flow.train(
        vae,
        pictures,
        records,
        options.out,
        work,
        options.flow_steps,
        compiled=not options.eager,
    )
    sample_grid.draw_grid(options.out, options.out / "samples.png")


if __name__ == "__main__":
    main()
