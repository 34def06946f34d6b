"""FLOPs of operations: what torch's own counter says."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from meancache_plan.judge.operations import Operations

B, H, N, D = 2, 3, 5, 4


def products() -> None:
    """A product of each kind, but for attention, which torch does not count on a CPU."""
    x, weight = torch.rand(B, N, D), torch.rand(D, D)
    functional.linear(x, weight, torch.rand(D))
    x @ x.mT
    torch.einsum("bnd,de->bne", x, weight)
    torch.baddbmm(torch.rand(B, N, N), x, x.mT)
    functional.conv2d(torch.rand(B, H, N, N), torch.rand(D, H, 3, 3))
    torch.allclose(x, x.contiguous())
    functional.layer_norm(x.relu(), (D,))


@pytest.mark.parametrize("inference", [False, True])
def test_flops_are_those_of_torchs_counter(inference: bool) -> None:
    with torch.inference_mode() if inference else nullcontext():
        with FlopCounterMode(display=False) as theirs:
            products()
        with Operations() as ours:
            products()
    assert ours.flops == theirs.get_total_flops() > 0


@pytest.mark.parametrize("inference", [False, True])
def test_attention_is_counted_on_a_cpu(inference: bool) -> None:
    with torch.inference_mode() if inference else nullcontext(), Operations() as counted:
        query, key = torch.rand(B, H, N, D), torch.rand(B, H, 2 * N, D)
        functional.scaled_dot_product_attention(query, key, key)
    assert counted.flops == 2 * (2 * B * H * N * 2 * N * D)


def test_tensors_that_answer_for_themselves_are_asked_once() -> None:
    """Torch asks nested ones for their layout through any mode."""
    parts = [torch.rand(length, D) for length in (2, N)]
    with torch.no_grad(), Operations():
        nested = torch.nested.nested_tensor(parts, layout=torch.jagged)
        assert nested.is_contiguous()
        assert nested.sin().size(0) == 2
