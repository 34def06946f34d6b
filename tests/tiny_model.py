"""A tiny pipeline's folder, with the recipe and the lists of prompts that commands take."""

from __future__ import annotations

from pathlib import Path

from diffusers import FluxPipeline

from tests.tiny import SIDE, TEXT_LENGTH

FITTED, HELD_OUT = ("a cat", "a dog"), ("an owl", "a cow")
OPTIONS = ("--model", "model", "--recipe", "tiny.toml")


def write_model(
    folder: Path, flux: FluxPipeline, steps: int, prompts: tuple[str, ...] = FITTED
) -> None:
    """Save it as ``model``, with ``tiny.toml``, ``fit.txt`` and ``held.txt`` beside it."""
    flux.save_pretrained(folder / "model")
    (folder / "fit.txt").write_text("".join(f"{prompt}\n" for prompt in prompts))
    (folder / "held.txt").write_text("".join(f"{prompt}\n" for prompt in HELD_OUT))
    (folder / "tiny.toml").write_text(
        f'steps = {steps}\nheight = {SIDE}\nwidth = {SIDE}\ndtype = "float32"\nguidance = 1.0\n'
        f"call = {{ max_sequence_length = {TEXT_LENGTH} }}\nseeds = '0'\nheldout_seeds = '9'\n"
        'prompts = "fit.txt"\nheldout_prompts = "held.txt"\n'
    )
