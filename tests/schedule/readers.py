"""A schedule that both readers accept, and what they say of one that they do not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from meancache_plan.schedule.artifact import from_bytes
from meancache_runtime.errors import ScheduleError
from meancache_runtime.schedule import parse_schedule

ROOT = Path(__file__).parents[2]
CORPUS = ROOT / "tests" / "corpus"
VALID = json.loads((CORPUS / "good" / "every-field.json").read_text())
READERS = [from_bytes, parse_schedule]


def refusal(read: Any, data: bytes) -> str:
    with pytest.raises(ScheduleError) as caught:
        read(data)
    return str(caught.value)
