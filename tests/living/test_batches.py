"""Several prompts and several pictures a prompt: each picture is what it is alone.

Not to the last bit: for another batch size torch's matrix products may add in another order, in
the plain pipeline too. In float32 that stays at rounding.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from meancache_runtime import attach
from tests.families.case import Case
from tests.living.pipelines import CASES
from tests.plans import BUDGET, SCHEDULE, STEPS

PROMPTS = ["a cat", "dogs in the sun", "a bird"]


def flux_prompts(prompts: list[str]) -> dict[str, Any]:
    return {
        "prompt": prompts,
        "negative_prompt": ["blur"] * len(prompts),
        "true_cfg_scale": 2.5,
    }


def qwen_image_prompts(prompts: list[str]) -> dict[str, Any]:
    """Embeddings in place of prompts, one a prompt, whatever the others are."""
    single = CASES[1].call(STEPS)
    seeds = [PROMPTS.index(prompt) for prompt in prompts]
    shape = single["prompt_embeds"].shape[1:]
    drawn = [torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    mask = single["prompt_embeds_mask"].repeat(len(prompts), 1)
    negative = single["negative_prompt_embeds"].repeat(len(prompts), 1, 1)
    return {
        "prompt_embeds": torch.stack(drawn),
        "prompt_embeds_mask": mask,
        "negative_prompt_embeds": negative,
        "negative_prompt_embeds_mask": mask,
    }


KINDS = [(CASES[0], flux_prompts), (CASES[1], qwen_image_prompts)]
every_kind = pytest.mark.parametrize(("case", "given"), KINDS, ids=[case.name for case, _ in KINDS])


def pictures(pipe: Any, case: Case, given: Any, prompts: list[str], seeds: list[int]) -> Tensor:
    """One picture a seed; as many seeds as pictures, those of the first prompt first."""
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    options = case.call(STEPS) | given(prompts)
    with torch.no_grad():
        return pipe(
            **options, num_images_per_prompt=len(seeds) // len(prompts), generator=generators
        ).images


@pytest.mark.parametrize("images", [1, 2])
@every_kind
def test_every_picture_of_a_batch_is_the_one_of_its_own_run(
    case: Case, given: Any, images: int
) -> None:
    pipe = case.build()
    seeds = list(range(images * len(PROMPTS)))
    with attach(pipe, SCHEDULE) as attached:
        batch = pictures(pipe, case, given, PROMPTS, seeds)
        assert attached.stats.denoiser_calls == 2 * BUDGET
        alone = [pictures(pipe, case, given, [PROMPTS[seed // images]], [seed]) for seed in seeds]
    assert len(batch) == len(seeds)
    torch.testing.assert_close(batch, torch.cat(alone), rtol=1e-4, atol=1e-5)
    assert (batch[0] - batch[-1]).norm() > 0.1 * batch[0].norm()
