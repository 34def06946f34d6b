"""Muon: momentum made orthogonal, for the matrices inside the transformer's blocks.

K. Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024); the update is
scaled to AdamW's usual size as in J. Liu et al., arXiv 2502.16982, so that one rate serves both.
"""

from __future__ import annotations

import torch

COEFFICIENTS = (3.4445, -4.7750, 2.0315)


def orthogonal(matrices: torch.Tensor, rounds: int) -> torch.Tensor:
    """The nearest half-orthogonal matrices, roughly: Newton-Schulz on k x m x n, float32.

    Every round multiplies by a polynomial of the Gram matrix. Of long matrices the polynomials are
    multiplied first, as the Gram matrix is smaller; of square ones that would be more work.
    """
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / (x.flatten(1).norm(dim=1)[:, None, None] + 1e-7)
    x = product(x @ x.mT, rounds) @ x if x.shape[2] >= 2 * x.shape[1] else one_by_one(x, rounds)
    return x.mT if tall else x


def one_by_one(x: torch.Tensor, rounds: int) -> torch.Tensor:
    """The rounds applied to k x m x n matrices."""
    a, b, c = COEFFICIENTS
    for _ in range(rounds):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x


def product(gram: torch.Tensor, rounds: int) -> torch.Tensor:
    """The product of the rounds' polynomials, from the Gram matrices k x m x m."""
    a, b, c = COEFFICIENTS
    factor = None
    for left in reversed(range(rounds)):
        polynomial = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        polynomial.diagonal(dim1=1, dim2=2).add_(a)
        factor = polynomial if factor is None else polynomial @ factor
        if left:
            gram = gram @ polynomial @ polynomial
    assert factor is not None
    return factor


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, made orthogonal; matrices of one shape are treated together.

    dtype: what it is made orthogonal in; bfloat16 is several times as quick on some CPUs.
    """

    def __init__(
        self,
        params: list[torch.nn.Parameter],
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.01,
        rounds: int = 4,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        self.rounds = rounds
        self.dtype = dtype

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
        updates = orthogonal(torch.stack(directions).to(self.dtype), self.rounds).float()
        size = 0.2 * max(alike[0].shape) ** 0.5
        for p, update in zip(alike, updates, strict=True):
            p.mul_(1 - group["lr"] * group["weight_decay"]).sub_(update, alpha=group["lr"] * size)
