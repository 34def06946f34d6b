"""Cosmos: 2.5 and 3 follow a flow by UniPC; 1 and 2 have noise levels of their own."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from diffusers import (
    Cosmos2TextToImagePipeline,
    Cosmos2VideoToWorldPipeline,
    CosmosTextToWorldPipeline,
    CosmosTransformer3DModel,
    CosmosVideoToWorldPipeline,
    EDMEulerScheduler,
    FlowMatchEulerDiscreteScheduler,
    UniPCMultistepScheduler,
)
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedTokenizerFast

from tests.families.case import Case, Refusal, seeded
from tests.families.later import (
    Cosmos2_5_PredictBasePipeline,
    Cosmos2_5_TransferPipeline,
    Cosmos3OmniPipeline,
    Cosmos3OmniTransformer,
    CosmosControlNetModel,
)
from tests.families.pictures import awaken, picture
from tests.families.text_to_image import SIDE, WIDTH, prompts, quiet, size
from tests.families.wan import CHANNELS, tiny_wan_vae

UNIPC = "UniPCMultistepScheduler"


class Lenient:
    """Stands for the guardrail, which is a download: finds everything safe."""

    def to(self, _device: Any) -> None: ...

    def check_text_safety(self, _prompt: str) -> bool:
        return True


def _pipeline(
    cls: type[Any],
    scheduler: Any,
    channels: int = CHANNELS,
    vae: Any = None,
    options: dict[str, int] | None = None,
    **parts: Any,
) -> Any:
    transformer = CosmosTransformer3DModel(
        in_channels=channels,
        out_channels=CHANNELS,
        num_attention_heads=2,
        attention_head_dim=12,
        num_layers=2,
        mlp_ratio=2,
        text_embed_dim=WIDTH,
        adaln_lora_dim=4,
        max_size=(4, 32, 32),
        concat_padding_mask=False,
        **(options or {}),
    )
    return quiet(
        cls(
            transformer=transformer,
            scheduler=scheduler,
            vae=vae,
            text_encoder=None,
            tokenizer=None,
            safety_checker=Lenient(),
            **parts,
        )
    )


def _unipc() -> UniPCMultistepScheduler:
    return UniPCMultistepScheduler(
        prediction_type="flow_prediction",
        use_flow_sigmas=True,
        use_karras_sigmas=True,
        sigma_min=0.01,
        sigma_max=200.0,
    )


def _edm() -> EDMEulerScheduler:
    return EDMEulerScheduler(sigma_max=80.0, final_sigmas_type="sigma_min")


def _predict() -> Any:
    return _pipeline(Cosmos2_5_PredictBasePipeline, _unipc(), CHANNELS + 1, tiny_wan_vae())


def _nearest(mask: Tensor, size: list[int], **_: Any) -> Tensor:
    """torchvision's resizing, which need not be installed."""
    return functional.interpolate(mask, size=size)


RESIZING = SimpleNamespace(
    functional=SimpleNamespace(resize=_nearest), InterpolationMode=SimpleNamespace(NEAREST=None)
)


def _transfer() -> Any:
    vars(sys.modules[CosmosControlNetModel.__module__]).setdefault("transforms", RESIZING)
    controlnet = CosmosControlNetModel(
        n_controlnet_blocks=1,
        in_channels=CHANNELS + 2,
        latent_channels=CHANNELS + 2,
        model_channels=24,
        num_attention_heads=2,
        attention_head_dim=12,
        mlp_ratio=2,
        text_embed_dim=WIDTH,
        adaln_lora_dim=4,
        max_size=(4, 32, 32),
    )
    return _pipeline(
        Cosmos2_5_TransferPipeline,
        _unipc(),
        CHANNELS + 1,
        tiny_wan_vae(),
        {"controlnet_block_every_n": 2},
        controlnet=awaken(controlnet),
    )


def _omni() -> Cosmos3OmniPipeline:
    words = ("<unk>", "<|im_end|>", "<|vision_start|>", "a", "cat", "dog", ".")
    tokens = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token=words[0]))
    tokens.pre_tokenizer = pre_tokenizers.Whitespace()
    transformer = Cosmos3OmniTransformer(
        head_dim=6,
        hidden_size=12,
        intermediate_size=12,
        latent_channel=CHANNELS,
        patch_latent_dim=4 * CHANNELS,
        num_attention_heads=2,
        num_hidden_layers=1,
        num_key_value_heads=1,
        rope_axes_dim=[1, 1, 1],
        vocab_size=len(words),
    )
    return quiet(
        Cosmos3OmniPipeline(
            transformer=transformer,
            text_tokenizer=PreTrainedTokenizerFast(
                tokenizer_object=tokens,
                unk_token=words[0],
                eos_token=words[1],
                chat_template="{% for m in messages %}{{ m['content'] }} {% endfor %}",
            ),
            vae=tiny_wan_vae(),
            scheduler=_unipc(),
            enable_safety_checker=False,
        )
    )


def _call(steps: int) -> dict[str, Any]:
    return {
        **prompts("prompt_embeds", "negative_prompt_embeds"),
        "guidance_scale": 7.0,
        **size(steps),
    }


def _call_video(steps: int) -> dict[str, Any]:
    return {**_call(steps), "num_frames": 9}


def _call_transfer(steps: int) -> dict[str, Any]:
    return {**_call(steps), "controls": [picture(SIDE)] * 5, "num_frames_per_chunk": 5}


def _call_omni(steps: int) -> dict[str, Any]:
    return {
        "prompt": "a cat",
        "negative_prompt": "a dog",
        "num_frames": 5,
        "guidance_scale": 6.0,
        "use_system_prompt": False,
        **size(steps),
    }


CASES = (
    Case(
        "Cosmos2_5_PredictBasePipeline",
        lambda: seeded(_predict),
        _call_video,
        "Cosmos Predict 2.5",
        branches=2,
        sampler=UNIPC,
        note="diffusers 0.37.0 alone needs torchvision for it",
    ),
    Case(
        "Cosmos2_5_TransferPipeline",
        lambda: seeded(_transfer),
        _call_transfer,
        "Cosmos Predict 2.5",
        branches=2,
        sampler=UNIPC,
    ).brief(),
    Case(
        "Cosmos3OmniPipeline",
        lambda: seeded(_omni),
        _call_omni,
        "Cosmos 3",
        since="0.40",
        branches=2,
        sampler=UNIPC,
    ),
)

_COSMOS_2 = Refusal(
    "Cosmos2TextToImagePipeline",
    lambda: seeded(
        lambda: _pipeline(
            Cosmos2TextToImagePipeline, FlowMatchEulerDiscreteScheduler(use_karras_sigmas=True)
        )
    ),
    _call,
    "Cosmos Predict 2",
    error="GridMismatchError",
    match="80 is among them",
    reason="its noise levels begin at 80, where a schedule's lie in 0 to 1",
)

_COSMOS_1 = Refusal(
    "CosmosTextToWorldPipeline",
    lambda: seeded(lambda: _pipeline(CosmosTextToWorldPipeline, _edm())),
    _call_video,
    "Cosmos 1",
    error="UnsupportedSchedulerError",
    match="EDMEulerScheduler",
    reason="its sampler follows no flow with a velocity, and steps twice in each iteration",
)

REFUSALS = (
    _COSMOS_2,
    Refusal(
        "Cosmos2VideoToWorldPipeline",
        lambda: seeded(
            lambda: _pipeline(
                Cosmos2VideoToWorldPipeline,
                FlowMatchEulerDiscreteScheduler(use_karras_sigmas=True),
                CHANNELS + 1,
                tiny_wan_vae(),
            )
        ),
        lambda steps: {**_call_video(steps), "image": picture(SIDE)},
        _COSMOS_2.family,
        _COSMOS_2.error,
        _COSMOS_2.match,
        _COSMOS_2.reason,
    ),
    _COSMOS_1,
    replace(
        _COSMOS_1,
        name="CosmosVideoToWorldPipeline",
        build=lambda: seeded(lambda: _pipeline(CosmosVideoToWorldPipeline, _edm(), CHANNELS + 1)),
        call=lambda steps: {**_call_video(steps), "image": picture(SIDE)},
    ),
)
