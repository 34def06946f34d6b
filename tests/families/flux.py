"""FLUX.1 and its relatives."""

from __future__ import annotations

from tests.families.case import Case
from tests.tiny import call_options, tiny_flux


def _call(steps: int) -> dict[str, object]:
    options = call_options(steps)
    del options["generator"]
    return {"prompt": "a cat", **options}


CASES = (Case("FluxPipeline", tiny_flux, _call, "FLUX.1"),)
REFUSALS = ()
