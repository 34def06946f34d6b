"""Further text-to-image models: their own transformers in loops much like the ones before."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import diffusers
import torch
from diffusers import FlowMatchEulerDiscreteScheduler

from tests.families.case import Case, seeded
from tests.families.pictures import awaken, noise
from tests.families.text_to_image import TOKENS, WIDTH, masks, prompts, quiet, size

HEADS: dict[str, Any] = {
    "num_layers": 1,
    "attention_head_dim": 8,
    "num_attention_heads": 2,
}
PACKED: dict[str, int] = {"in_channels": 16, "out_channels": 16}
FLUX_LIKE: dict[str, Any] = {
    **HEADS,
    "num_single_layers": 1,
    "joint_attention_dim": WIDTH,
    "axes_dims_rope": (2, 2, 4),
}
GUIDED = prompts("prompt_embeds", "negative_prompt_embeds")


def _built(name: str, absent: str, model: dict[str, Any], **options: Any) -> Callable[[], Any]:
    """Builds ``{name}Pipeline`` around ``{name}Transformer2DModel``; absent components are None."""

    def build() -> Any:
        transformer = getattr(diffusers, f"{name}Transformer2DModel")(**model)
        components = {"vae": None, **dict.fromkeys(absent.split()), **options}
        components = {k: v() if callable(v) else v for k, v in components.items()}
        pipe = getattr(diffusers, f"{name}Pipeline")(
            transformer=awaken(transformer),
            scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
            **components,
        )
        return quiet(pipe)

    return partial(seeded, build)


def _call(steps: int, **more: Any) -> dict[str, Any]:
    return {**GUIDED, "guidance_scale": 4.0, **size(steps), **more}


def _call_masked(steps: int) -> dict[str, Any]:
    return _call(steps, **masks("prompt_embeds_mask", "negative_prompt_embeds_mask"))


def _call_layers(steps: int) -> dict[str, Any]:
    """Krea 2 reads several layers of its text encoder."""
    layers = {name: noise(1, TOKENS, 2, WIDTH, seed=i) for i, name in enumerate(GUIDED)}
    seen = torch.ones(1, TOKENS, dtype=torch.bool)
    return _call(steps, **layers, prompt_embeds_mask=seen, negative_prompt_embeds_mask=seen)


def _call_prx(steps: int) -> dict[str, Any]:
    seen = torch.ones(1, TOKENS, dtype=torch.bool)
    hidden = {"prompt_attention_mask": seen, "negative_prompt_attention_mask": seen}
    return _call(steps, use_resolution_binning=False, **hidden)


def _prx_pixel() -> Any:
    """It has no VAE, and its denoiser gives the picture, of which the loop makes the velocity."""
    transformer = diffusers.PRXTransformer2DModel(
        in_channels=3,
        patch_size=8,
        context_in_dim=WIDTH,
        hidden_size=16,
        num_heads=2,
        depth=1,
        axes_dim=[4, 4],
    )
    return quiet(
        diffusers.PRXPixelPipeline(
            transformer=awaken(transformer),
            scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
            text_encoder=None,
            tokenizer=None,
        )
    )


def _call_lists(steps: int) -> dict[str, Any]:
    """ERNIE-Image takes a list of embeddings, one for each prompt."""
    return _call(steps, **{name: list(embedding) for name, embedding in GUIDED.items()})


def _longcat() -> Any:
    """Without its text encoder: it does not take embeddings alone."""
    absent = "text_encoder tokenizer text_processor"
    pipe = _built("LongCatImage", absent, {**FLUX_LIKE, "pooled_projection_dim": WIDTH})()
    pipe._encode_prompt = lambda texts: noise(1, TOKENS, WIDTH, seed=len(texts[0]))
    return pipe


def _call_longcat(steps: int) -> dict[str, Any]:
    return {"prompt": "a cat", "enable_prompt_rewrite": False, **size(steps)}


CASES = (
    Case(
        "OvisImagePipeline",
        _built("OvisImage", "text_encoder tokenizer", {**FLUX_LIKE, **PACKED}),
        partial(_call, negative_prompt=None),
        "Ovis-Image",
        branches=2,
    ),
    Case(
        "LongCatImagePipeline",
        _longcat,
        _call_longcat,
        "LongCat-Image",
        branches=2,
    ),
    Case(
        "GlmImagePipeline",
        _built(
            "GlmImage",
            "tokenizer processor text_encoder vision_language_encoder",
            {
                **HEADS,
                "in_channels": 4,
                "out_channels": 4,
                "text_embed_dim": WIDTH,
                "time_embed_dim": 16,
                "condition_dim": 4,
                "prior_vq_quantizer_codebook_size": 16,
            },
        ),
        partial(_call, prior_token_ids=torch.tensor([[3, 1, 4, 15]])),
        "GLM-Image",
        branches=2,
    ),
    Case(
        "ErnieImagePipeline",
        _built(
            "ErnieImage",
            "text_encoder tokenizer",
            {
                "hidden_size": 16,
                "num_attention_heads": 2,
                "num_layers": 1,
                "ffn_hidden_size": 16,
                "in_channels": 4,
                "out_channels": 4,
                "text_in_dim": WIDTH,
                "rope_axes_dim": (4, 2, 2),
            },
        ),
        _call_lists,
        "ERNIE-Image",
    ),
    Case(
        "Krea2Pipeline",
        _built(
            "Krea2",
            "text_encoder tokenizer",
            {
                **HEADS,
                "in_channels": 16,
                "num_key_value_heads": 1,
                "intermediate_size": 16,
                "timestep_embed_dim": 8,
                "text_hidden_dim": WIDTH,
                "num_text_layers": 2,
                "text_num_attention_heads": 2,
                "text_num_key_value_heads": 1,
                "text_intermediate_size": 16,
                "num_layerwise_text_blocks": 1,
                "num_refiner_text_blocks": 1,
                "axes_dims_rope": (4, 2, 2),
            },
        ),
        _call_layers,
        "Krea 2",
        branches=2,
    ),
    Case(
        "NucleusMoEImagePipeline",
        _built(
            "NucleusMoEImage",
            "text_encoder processor",
            {
                **HEADS,
                "num_layers": 4,
                "in_channels": 16,
                "out_channels": 4,
                "joint_attention_dim": WIDTH,
                "axes_dims_rope": (4, 2, 2),
                "num_experts": 2,
                "moe_intermediate_dim": 8,
                "capacity_factors": 2.0,
            },
        ),
        _call_masked,
        "Nucleus-Image",
        branches=2,
    ),
    Case(
        "PRXPipeline",
        _built(
            "PRX",
            "text_encoder tokenizer",
            {
                "context_in_dim": WIDTH,
                "hidden_size": 16,
                "num_heads": 2,
                "depth": 1,
                "axes_dim": [4, 4],
            },
        ),
        _call_prx,
        "PRX",
    ),
    Case(
        "PRXPixelPipeline",
        partial(seeded, _prx_pixel),
        _call_prx,
        "PRX",
        note="the denoiser gives the picture, and the pipeline makes the velocity of it",
    ).brief(),
)
REFUSALS = ()
