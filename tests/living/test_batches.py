"""Several prompts of different lengths, several pictures each: a picture is what it is alone.

Not to the last bit: for another batch size torch's matrix products may add in another order, in
the plain pipeline too. In float32 that stays at rounding.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from meancache_runtime import attach
from tests.families.case import Case
from tests.families.z_image import CASES as Z_IMAGE
from tests.living.two_pipelines import CASES
from tests.plans import BUDGET, SCHEDULE, STEPS
from tests.tiny_families import WIDTH

PROMPTS = ["a cat", "dogs in the sun", "a bird"]
LENGTHS = {"a cat": 5, "dogs in the sun": 7, "a bird": 3}
"""Tokens of each as an embedding."""


def flux_prompts(prompts: list[str]) -> dict[str, Any]:
    return {
        "prompt": prompts,
        "negative_prompt": ["blur"] * len(prompts),
        "true_cfg_scale": 2.5,
    }


def embedded(prompts: list[str], shift: int = 0) -> list[Tensor]:
    """One for each prompt, whatever the others are; ``shift`` takes that of another prompt."""
    order = [PROMPTS[(PROMPTS.index(prompt) + shift) % len(PROMPTS)] for prompt in prompts]
    drawn = {text: torch.Generator().manual_seed(LENGTHS[text]) for text in order}
    return [torch.randn(LENGTHS[text], WIDTH, generator=drawn[text]) for text in order]


def padded(prompts: list[str], shift: int = 0) -> tuple[Tensor, Tensor]:
    """Embeddings of one length, and where they are those of a prompt."""
    each = embedded(prompts, shift)
    masks = [torch.ones(len(tokens), dtype=torch.int64) for tokens in each]
    return pad_sequence(each, batch_first=True), pad_sequence(masks, batch_first=True)


def qwen_image_prompts(prompts: list[str]) -> dict[str, Any]:
    (prompt, mask), (negative, masked) = padded(prompts), padded(prompts, shift=1)
    return {
        "prompt_embeds": prompt,
        "prompt_embeds_mask": mask,
        "negative_prompt_embeds": negative,
        "negative_prompt_embeds_mask": masked,
    }


def z_image_prompts(prompts: list[str]) -> dict[str, Any]:
    return {"prompt_embeds": embedded(prompts), "negative_prompt_embeds": embedded(prompts, 1)}


def of_one_length(prompts: list[str]) -> dict[str, Any]:
    """diffusers 0.42.1 puts the masks of several pictures a prompt into another order."""
    given = qwen_image_prompts([*prompts, *PROMPTS])
    whole = {name: value[: len(prompts)] for name, value in given.items()}
    return {name: torch.ones_like(v) if "mask" in name else v for name, v in whole.items()}


KINDS = [
    (CASES[0], flux_prompts, 2, 1),
    (CASES[0], flux_prompts, 2, 2),
    (CASES[1], qwen_image_prompts, 2, 1),
    (CASES[1], of_one_length, 2, 2),
    (Z_IMAGE[0], z_image_prompts, 1, 1),
    (Z_IMAGE[0], z_image_prompts, 1, 2),
]
"""A pipeline, what is given to it, calls of its denoiser in a refresh, and pictures a prompt."""

every_kind = pytest.mark.parametrize(
    ("case", "given", "calls", "images"),
    KINDS,
    ids=[f"{case.name}-{images}" for case, *_, images in KINDS],
)


def pictures(pipe: Any, case: Case, given: Any, prompts: list[str], seeds: list[int]) -> Tensor:
    """One picture a seed; as many seeds as pictures, those of the first prompt first."""
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    options = case.call(STEPS) | given(prompts)
    with torch.no_grad():
        return pipe(
            **options, num_images_per_prompt=len(seeds) // len(prompts), generator=generators
        ).images


@every_kind
def test_every_picture_of_a_batch_is_the_one_of_its_own_run(
    case: Case, given: Any, calls: int, images: int
) -> None:
    pipe = case.build()
    seeds = list(range(images * len(PROMPTS)))
    with attach(pipe, SCHEDULE) as attached:
        batch = pictures(pipe, case, given, PROMPTS, seeds)
        assert attached.stats.denoiser_calls == calls * BUDGET
        alone = [pictures(pipe, case, given, [PROMPTS[seed // images]], [seed]) for seed in seeds]
    assert len(batch) == len(seeds)
    torch.testing.assert_close(batch, torch.cat(alone), rtol=1e-4, atol=1e-5)
    assert (batch[0] - batch[-1]).norm() > 0.1 * batch[0].norm()
