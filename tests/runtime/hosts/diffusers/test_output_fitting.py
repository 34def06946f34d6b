"""Kept outputs made to fit a call of another batch size."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers.models.modeling_outputs import Transformer2DModelOutput

from meancache_runtime.hosts.diffusers.output_fitting import batch_size, fit

TWO = torch.arange(6.0).reshape(2, 3)


def test_an_output_that_fits_is_the_very_same() -> None:
    output = (TWO,)
    assert fit(output, 2, 2) is output


@pytest.mark.parametrize(("wanted", "rows"), [(1, [0]), (3, [0, 1, 0]), (4, [0, 1, 0, 1])])
def test_samples_are_cropped_or_repeated(wanted: int, rows: list[int]) -> None:
    assert torch.equal(fit(TWO, 2, wanted), TWO[rows])


def test_each_part_of_an_output_is_fitted() -> None:
    tensor, others, listed, flag = fit((TWO, (TWO, None), [TWO[0], TWO[1]], True), 2, 1)
    assert tensor.shape == others[0].shape == (1, 3)
    assert others[1] is None
    assert flag is True
    assert len(listed) == 1
    assert torch.equal(listed[0], TWO[0])


def test_diffusers_outputs_keep_their_class() -> None:
    found = fit(Transformer2DModelOutput(sample=TWO), 2, 4)
    assert type(found) is Transformer2DModelOutput
    assert found.sample.shape == found[0].shape == (4, 3)


def test_what_is_not_a_sample_each_stays() -> None:
    tokens = torch.ones(7, 3)
    assert fit(tokens, 2, 1) is tokens


@pytest.mark.parametrize(
    ("args", "kwargs", "expected"),
    [
        ((TWO,), {}, 2),
        ((), {"scale": 1.0, "hidden_states": TWO}, 2),
        (([TWO, TWO, TWO],), {}, 3),
        ((torch.tensor(0.5),), {}, None),
        ((), {}, None),
    ],
)
def test_a_calls_size_is_that_of_its_first_tensor(
    args: tuple[Any, ...], kwargs: dict[str, Any], expected: int | None
) -> None:
    assert batch_size(args, kwargs) == expected
