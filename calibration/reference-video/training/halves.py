"""Linear maps that multiply in bfloat16 while training, on CPUs several times as quick at it."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


class HalfProduct(torch.autograd.Function):
    """``x @ weight.T`` of float32, multiplied in bfloat16 there and back."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """The product, float32: x is ... x inputs, weight outputs x inputs."""
        rows, halved = x.reshape(-1, x.shape[-1]).bfloat16(), weight.bfloat16()
        ctx.save_for_backward(rows, halved)
        return (rows @ halved.T).float().reshape(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The gradients by x and by weight."""
        rows, halved = ctx.saved_tensors
        grad = grads[0].reshape(-1, grads[0].shape[-1]).bfloat16()
        by_x = (grad @ halved).float().reshape(*grads[0].shape[:-1], -1)
        return by_x, (grad.T @ rows).float()


class HalfLinear(nn.Linear):
    """A linear layer by such products; its weights stay float32."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """``input @ weight.T + bias``."""
        product = HalfProduct.apply(input, self.weight)
        return product if self.bias is None else product + self.bias


def halve(module: nn.Module) -> None:
    """Make all linear layers inside a module such; their names and weights stay as they are."""
    for layer in module.modules():
        if type(layer) is nn.Linear:
            layer.__class__ = HalfLinear


def restore_whole(module: nn.Module) -> None:
    """What `halve` undoes."""
    for layer in module.modules():
        if type(layer) is HalfLinear:
            layer.__class__ = nn.Linear
