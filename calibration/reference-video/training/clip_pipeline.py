"""Write the trained parts as a pipeline's folder."""

from __future__ import annotations

import copy
from pathlib import Path

import clip_models
from clip_networks import Networks
from diffusers import AutoencoderKLWan
from transformers import PreTrainedTokenizerBase


def save(
    vae: AutoencoderKLWan, tokenizer: PreTrainedTokenizerBase, networks: Networks, out: Path
) -> None:
    """Write the pipeline; transformer and autoencoder in half precision, which load as float32."""
    transformer = copy.deepcopy(networks.transformer).half()
    pipeline = clip_models.make_pipeline(
        copy.deepcopy(vae).half(), transformer, networks.text, tokenizer
    )
    pipeline.save_pretrained(out)
    index = out / "model_index.json"  # name the class that older transformers know, too
    named = index.read_text(encoding="utf-8").replace(
        "TokenizersBackend", "PreTrainedTokenizerFast"
    )
    index.write_text(named, encoding="utf-8")
