"""The three networks that learn the flow together, their loss, and how they are optimised."""

from __future__ import annotations

import models
import torch
from muon import Muon
from text import Tokenizers
from torch import nn
from transformers import PreTrainedTokenizerBase

RATE = 1e-3


class Networks(nn.Module):
    """Transformer and text encoders, and their loss."""

    def __init__(self, tokenizers: Tokenizers) -> None:
        super().__init__()
        self.transformer = models.make_transformer()
        self.clip = models.make_clip(tokenizers[0])
        self.t5 = models.make_t5(tokenizers[1])
        image_ids, text_ids = models.position_ids()
        self.register_buffer("image_ids", image_ids, persistent=False)
        self.register_buffer("text_ids", text_ids, persistent=False)

    def forward(
        self,
        clean: torch.Tensor,
        clip_ids: torch.Tensor,
        t5_ids: torch.Tensor,
        t: torch.Tensor,
        noise: torch.Tensor,
    ) -> torch.Tensor:
        """Mean squared error of the predicted velocity, noise minus clean; t is in [0, 1]."""
        mix = t[:, None, None]
        velocity = self.transformer(
            hidden_states=(1 - mix) * clean + mix * noise,
            timestep=t,
            pooled_projections=self.clip(clip_ids).pooler_output,
            encoder_hidden_states=self.t5(t5_ids)[0],
            img_ids=self.image_ids,
            txt_ids=self.text_ids,
            return_dict=False,
        )[0]
        return (velocity - (noise - clean)).square().mean()


def tokenize(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> torch.Tensor:
    """Token ids, padded as the pipeline pads them."""
    return tokenizer(
        texts,
        padding="max_length",
        max_length=tokenizer.model_max_length,
        truncation=True,
        return_tensors="pt",
    ).input_ids


def hidden_matrices(networks: Networks) -> list[nn.Parameter]:
    """The matrices inside the transformer's blocks, without those that modulate."""
    return [
        p
        for name, p in networks.transformer.named_parameters()
        if "blocks" in name and p.ndim == 2 and ".linear." not in name
    ]


def optimizers_of(
    networks: Networks, muon: bool = True, dtype: torch.dtype = torch.float32
) -> list[torch.optim.Optimizer]:
    """Muon (in a dtype) for the hidden matrices, AdamW for the rest, with a little decay."""
    hidden = hidden_matrices(networks) if muon else []
    inside = {id(p) for p in hidden}
    rest = [p for p in networks.parameters() if id(p) not in inside]
    groups = [
        {"params": [p for p in rest if p.ndim > 1], "weight_decay": 0.01},
        {"params": [p for p in rest if p.ndim <= 1], "weight_decay": 0.0},
    ]
    adam = torch.optim.AdamW(groups, RATE, betas=(0.9, 0.98))
    return [adam, Muon(hidden, RATE, dtype=dtype)] if hidden else [adam]
