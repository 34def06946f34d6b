"""…/runtime/pipelines_core/diffusion_scheduler_utils.py at 353d369dcefc: a request's scheduler."""

from __future__ import annotations

from copy import deepcopy
from typing import Any


def get_or_create_request_scheduler(
    batch: Any, scheduler_template: Any, *, isolate: bool = False
) -> Any:
    if isolate:
        batch.scheduler = deepcopy(batch.scheduler or scheduler_template)
    elif batch.scheduler is None:
        batch.scheduler = scheduler_template
    return batch.scheduler
