"""The pipelines of these tests, one with and one without guidance by two calls, and their plan."""

from __future__ import annotations

import pytest

from meancache_runtime.schedule import Adams, Hold, Jvp, Released
from tests.families.case import Case
from tests.families.flux import CASES as FLUX
from tests.runtime import by_hand
from tests.tiny_families import qwen_image_options, tiny_qwen_image

STEPS = 8
KNOTS = (0, 1, 3, 6)
BUDGET = len(KNOTS)
SCHEDULE = by_hand.schedule(STEPS, KNOTS, [Hold(), Released(2), Jvp(3), Adams((1.02, 0.7, 0.4))])
PLAN = SCHEDULE.plans[0]
FULL = by_hand.schedule(STEPS, range(STEPS))


def _qwen_image_call(steps: int) -> dict[str, object]:
    options = qwen_image_options(steps)
    del options["generator"]
    return options


CASES = (
    FLUX[0],
    Case("QwenImagePipeline", tiny_qwen_image, _qwen_image_call, "Qwen-Image", branches=2),
)
every_pipeline = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
