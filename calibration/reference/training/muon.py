"""Muon: momentum made orthogonal, for the matrices inside the transformer's blocks.

K. Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024); the update is
scaled to AdamW's usual size as in J. Liu et al., arXiv 2502.16982, so that one rate serves both.
"""

from __future__ import annotations

import torch

COEFFICIENTS = (3.4445, -4.7750, 2.0315)


def orthogonal(matrices: torch.Tensor, rounds: int) -> torch.Tensor:
    """The nearest half-orthogonal matrices, roughly: Newton-Schulz on k x m x n, float32.

    The rounds are polynomials of the smaller Gram matrix alone, which is all that they multiply.
    """
    a, b, c = COEFFICIENTS
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / (x.flatten(1).norm(dim=1)[:, None, None] + 1e-7)
    gram = x @ x.mT
    factor = identity = torch.eye(x.shape[1])
    for k in range(rounds):
        polynomial = a * identity + b * gram + c * gram @ gram
        factor = polynomial @ factor if k else polynomial
        gram = gram @ polynomial @ polynomial
    x = factor @ x
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, made orthogonal; matrices of one shape are treated together."""

    def __init__(
        self,
        params: list[torch.nn.Parameter],
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.01,
        rounds: int = 5,
    ) -> None:
        settings = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "rounds": rounds}
        super().__init__(params, settings)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """One update of every matrix that has a gradient."""
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[torch.nn.Parameter]] = {}
            for p in group["params"]:
                if p.grad is not None:
                    by_shape.setdefault(p.shape, []).append(p)
            for alike in by_shape.values():
                self.update(alike, group)

    def update(self, alike: list[torch.nn.Parameter], group: dict) -> None:
        """One update of matrices of the same shape."""
        directions = []
        for p in alike:
            momentum = self.state[p].setdefault("momentum", torch.zeros_like(p))
            momentum.lerp_(p.grad, 1 - group["momentum"])
            directions.append(p.grad.lerp(momentum, group["momentum"]))
        updates = orthogonal(torch.stack(directions), group["rounds"])
        size = 0.2 * max(alike[0].shape) ** 0.5
        for p, update in zip(alike, updates, strict=True):
            p.mul_(1 - group["lr"] * group["weight_decay"]).sub_(update, alpha=group["lr"] * size)
