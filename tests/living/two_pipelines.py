"""The pipelines of these tests, one with and one without guidance by two calls."""

from __future__ import annotations

import pytest

from tests.families.case import Case
from tests.families.flux import CASES as FLUX
from tests.tiny_families import qwen_image_options, tiny_qwen_image


def _qwen_image_call(steps: int) -> dict[str, object]:
    options = qwen_image_options(steps)
    del options["generator"]
    return options


CASES = (
    FLUX[0],
    Case("QwenImagePipeline", tiny_qwen_image, _qwen_image_call, "Qwen-Image", branches=2),
)
every_pipeline = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
