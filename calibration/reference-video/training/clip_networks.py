"""The two networks that learn the flow together, and their loss."""

from __future__ import annotations

import clip_models
import torch
from torch import nn
from transformers import PreTrainedTokenizerBase


class Networks(nn.Module):
    """Transformer and text encoder, and their loss."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        super().__init__()
        self.transformer = clip_models.make_transformer()
        self.text = clip_models.make_text_encoder(tokenizer)
        self.padding = int(tokenizer.pad_token_id)

    def forward(
        self, clean: torch.Tensor, ids: torch.Tensor, t: torch.Tensor, noise: torch.Tensor
    ) -> torch.Tensor:
        """Mean squared error of the predicted velocity, noise minus clean; t is in [0, 1]."""
        mix = t[:, None, None, None, None]
        mask = (ids != self.padding).long()
        text = self.text(ids, mask).last_hidden_state * mask[..., None]
        velocity = self.transformer(
            hidden_states=(1 - mix) * clean + mix * noise,
            timestep=1000 * t,
            encoder_hidden_states=text,
            return_dict=False,
        )[0]
        return (velocity - (noise - clean)).square().mean()
