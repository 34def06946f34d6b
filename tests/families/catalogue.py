"""Every case and refusal of the conformance tests; also the README's table of pipelines."""

from __future__ import annotations

from tests.families import flux
from tests.families.case import Case, Refusal

_FAMILIES = (flux,)

CASES: tuple[Case, ...] = tuple(case for family in _FAMILIES for case in family.CASES)
REFUSALS: tuple[Refusal, ...] = tuple(case for family in _FAMILIES for case in family.REFUSALS)
