"""Step masks of other projects, and the command line that reads and writes them."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest

from meancache_plan.cli import main

MASK = [1, 1, 0, 1, 0, 0, 0, 1, 0, 0]
STEPS = len(MASK)
CACHE_DIT = {
    "cache_config": {
        "steps_computation_mask": MASK,
        "steps_computation_policy": "static",
        "residual_diff_threshold": 0.12,
    }
}
DPCACHE = {
    "schema": "sglang-dpcache-schedule-v2",
    "schedule_method": "exact-pair-state-dp",
    "predictor": {
        "name": "final-feature-linear-extrapolation",
        "order": 1,
        "arithmetic": "feature-dtype-elementwise-v1",
    },
    "request": {
        "pipeline": "QwenImagePipeline",
        "num_inference_steps": STEPS,
        "sigmas": [1 - i / STEPS for i in range(STEPS + 1)],
    },
    "full_steps": [0, 1, 3, 7],
    "num_full_steps": 4,
    "calibrated_cost": 0.25,
}


def command(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stop:
        main(list(map(str, arguments)))
    return int(stop.value.code or 0)


def said(capsys: pytest.CaptureFixture[str]) -> str:
    return re.sub(r"\s+", " ", capsys.readouterr().err)


def changed(file: dict[str, Any], place: str, value: Any) -> dict[str, Any]:
    """A file with another value at a place such as ``request/sigmas``; None takes it out."""
    changed = copy.deepcopy(file)
    *parents, last = place.split("/")
    inner: Any = changed
    for key in parents:
        inner = inner[key]
    if value is None:
        del inner[last]
    else:
        inner[last] = value
    return changed
