"""Pydantic's validation errors in the words of the runtime's own reader."""

from itertools import pairwise
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from meancache_runtime import schedule as runtime
from meancache_runtime import strict_json
from meancache_runtime.predictors import KINDS
from meancache_runtime.strict_json import quote, shorten

_REASONS = {
    "missing": '"{key}" is missing',
    "extra_forbidden": 'unknown key "{key}"',
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "dict_type": "must be an object",
    "tuple_type": "must be a list",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "string_type": "must be a string",
    "int_type": "must be an integer",
    "int_parsing": "must be an integer",
    "int_from_float": "must be an integer",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "string_pattern_mismatch": "must match {pattern}",
    "finite_number": "must be finite",
    "greater_than_equal": "is out of range: at least {ge}",
    "greater_than": "is out of range: more than {gt}",
    "less_than_equal": "is out of range: at most {le}",
    "less_than": "is out of range: less than {lt}",
    "too_short": "must have at least {min_length} entries",
    "too_long": "must have at most {max_length} entries",
    "string_too_short": "must not be empty",
    "string_too_long": "must have at most {max_length} characters",
    "union_tag_invalid": "unknown predictor {tag}",
    "union_tag_not_found": '"predictor" is missing',
    "literal_error": "is unknown: this reader knows {expected}",
}

_KEYS = {"missing", "extra_forbidden"}
"""Errors of a key, which is the last part of their place."""

_TAGS = {*KINDS, "calibrated", "starting"}
"""Parts that pydantic adds to the place of an error inside a union: no part of the file."""


def first_reason(error: ValidationError, whole: str) -> str:
    """Return ``place: reason`` of the first error; ``whole`` names the place at the top.

    Where a key is missing and another unknown, one of them mistyped perhaps, both are named.
    """
    found = error.errors(include_url=False)
    first, kind = found[0], found[0]["type"]
    place = first["loc"][:-1] if kind in _KEYS else first["loc"]
    reasons = [_reason(first)]
    if kind in _KEYS:
        others = (e for e in found if e["type"] in _KEYS - {kind} and e["loc"][:-1] == place)
        reasons += [_reason(other) for other in others][:1]
    return f"{_where(place) or whole}: {', '.join(reasons)}"


def _where(place: tuple[int | str, ...]) -> str:
    where = ""
    for before, part in pairwise(["", *place]):
        if isinstance(part, int):
            where += f"[{part}]"
        elif part not in _TAGS or not (isinstance(before, int) or before == "provenance"):
            where += f".{part}"
    return shorten(where.removeprefix("."))


def _reason(error: ErrorDetails) -> str:
    kind, found = error["type"], error["input"]
    template = _REASONS.get(kind)
    if template is None:
        return error["msg"].removeprefix("Value error, ")
    words = {name: shorten(str(value)) for name, value in error.get("ctx", {}).items()}
    if kind in _KEYS:
        words["key"] = shorten(str(error["loc"][-1]))
    if kind.startswith("int_") and isinstance(found, str | int | float | None):
        return f"must be an integer, not {quote(found)}"
    return template.format(**words)


Text = Annotated[str, Field(min_length=1, max_length=strict_json.MAX_TEXT)]


Step = Annotated[int, Field(ge=0, lt=runtime.MAX_STEPS)]


Count = Annotated[int, Field(ge=1, le=1_000_000_000)]


Real = Annotated[float, Field(ge=-1e6, le=1e6)]


Pixels = Annotated[int, Field(ge=1, le=1_000_000)]


class Checked(BaseModel):
    """Unknown keys and non-finite numbers are refused; whole numbers may stand for reals."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Strict(BaseModel):
    """Unknown keys, implicit conversions and non-finite numbers are refused."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        allow_inf_nan=False,
        json_schema_serialization_defaults_required=True,
    )
