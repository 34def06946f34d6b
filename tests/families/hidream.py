"""HiDream-I1, whose velocity the pipeline negates; Full samples by UniPC, Dev and Fast by Euler."""

from __future__ import annotations

from typing import Any

from diffusers import (
    FlowMatchEulerDiscreteScheduler,
    HiDreamImagePipeline,
    HiDreamImageTransformer2DModel,
    UniPCMultistepScheduler,
)

from tests.families.case import Case, seeded
from tests.families.pictures import noise
from tests.families.text_to_image import TOKENS, WIDTH, prompts, quiet, size

FAMILY = "HiDream"
_NO_TEXT: dict[str, None] = {
    f"{part}{number}": None
    for part in ("text_encoder", "tokenizer")
    for number in ("", "_2", "_3", "_4")
}


def _pipeline(scheduler: Any) -> Any:
    def build() -> Any:
        transformer = HiDreamImageTransformer2DModel(
            patch_size=2,
            in_channels=4,
            out_channels=4,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=8,
            num_attention_heads=2,
            caption_channels=[WIDTH, WIDTH],
            text_emb_dim=WIDTH,
            num_routed_experts=2,
            num_activated_experts=1,
            axes_dims_rope=(4, 2, 2),
            max_resolution=(4, 4),
            llama_layers=[0, 1],
            force_inference_output=True,
        )
        pipe = HiDreamImagePipeline(
            scheduler=scheduler, vae=None, transformer=transformer, **_NO_TEXT
        )
        pipe.default_sample_size = 4  # or else it would make a picture of 1024 x 1024 pixels
        return quiet(pipe)

    return seeded(build)


def _euler() -> Any:
    return _pipeline(FlowMatchEulerDiscreteScheduler(shift=6.0))


def _unipc() -> Any:
    return _pipeline(
        UniPCMultistepScheduler(
            use_flow_sigmas=True, prediction_type="flow_prediction", flow_shift=3.0
        )
    )


def _call(steps: int) -> dict[str, Any]:
    return {
        **prompts("prompt_embeds_t5", "negative_prompt_embeds_t5"),
        "prompt_embeds_llama3": noise(2, 1, TOKENS, WIDTH, seed=3),
        "negative_prompt_embeds_llama3": noise(2, 1, TOKENS, WIDTH, seed=4),
        "pooled_prompt_embeds": noise(1, WIDTH, seed=5),
        "negative_pooled_prompt_embeds": noise(1, WIDTH, seed=6),
        "guidance_scale": 5.0,
        **size(steps),
    }


CASES = (
    Case("HiDreamImagePipeline", _unipc, _call, FAMILY, sampler="UniPCMultistepScheduler"),
    Case("HiDreamImagePipeline, Euler", _euler, _call, FAMILY),
)
REFUSALS = ()
