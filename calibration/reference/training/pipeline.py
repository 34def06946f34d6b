"""Write the trained parts as a pipeline's folder."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import models
from diffusers import AutoencoderTiny, FluxPipeline
from networks import Networks
from text import Tokenizers


def save(vae: AutoencoderTiny, tokenizers: Tokenizers, networks: Networks, out: Path) -> None:
    """Write the pipeline; the transformer's weights in half precision, which load as float32."""
    transformer = copy.deepcopy(networks.transformer).half()
    encoders = (networks.clip, networks.t5)
    pipeline: FluxPipeline = models.make_pipeline(vae, transformer, encoders, tokenizers)
    pipeline.save_pretrained(out)
    index = out / "model_index.json"  # name the class that older transformers know, too
    named = index.read_text(encoding="utf-8").replace(
        "TokenizersBackend", "PreTrainedTokenizerFast"
    )
    index.write_text(named, encoding="utf-8")
    config = out / "vae" / "config.json"  # without the place that the autoencoder was loaded from
    settings = json.loads(config.read_text(encoding="utf-8"))
    settings.pop("_name_or_path", None)
    settings.pop("block_out_channels", None)  # which it finds itself, and warns when it is told
    config.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
