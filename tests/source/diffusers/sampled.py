"""Tiny pipelines of the conformance tests, driven as calibration and refinement drive any."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import torch

from meancache_plan.source.diffusers.pipeline import Pipeline
from meancache_plan.source.recipe import Recipe
from tests.families.case import Case
from tests.families.catalogue import CASES

UNIPC = "WanPipeline, UniPC"
TWO_DENOISERS = "WanPipeline, two denoisers, UniPC"
HEUN = "StableDiffusion3Pipeline, Heun"
SOUND = "LTX2Pipeline"


class Sampled(Pipeline):
    """A case's pipeline; a prompt is told apart by its noise, as embeddings stand for its text."""

    def __init__(self, name: str, **recipe: Any) -> None:
        self.case: Case = next(case for case in CASES if case.name == name)
        settings = {"steps": self.case.steps, "dtype": "float32", **recipe}
        super().__init__(self.case.build(), Recipe.model_validate(settings), name)

    def run(
        self,
        prompt: str | Sequence[str],
        seed: int | Sequence[int],
        *,
        steps: int | None = None,
        **extra: Any,
    ) -> Any:
        [text] = [prompt] if isinstance(prompt, str) else prompt
        [number] = [seed] if isinstance(seed, int) else seed
        generator = torch.Generator().manual_seed(zlib.crc32(text.encode()) + number)
        options = self.case.call(self.recipe.steps if steps is None else steps)
        with torch.no_grad():
            return self.pipe(**{**options, **extra}, generator=generator)
