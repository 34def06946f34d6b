"""Pydantic's validation errors in the words of the runtime's own reader."""

from itertools import pairwise

from pydantic import ValidationError

from meancache_runtime.strict_json import shorten

_REASONS = {
    "missing": '"{key}" is missing',
    "extra_forbidden": 'unknown key "{key}"',
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "dict_type": "must be an object",
    "tuple_type": "must be a list",
    "string_type": "must be a string",
    "int_type": "must be an integer",
    "float_type": "must be a number",
    "finite_number": "must be finite",
    "greater_than_equal": "is out of range: at least {ge}",
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

_TAGS = ("hold", "jvp", "released", "adams")
"""Parts that pydantic adds to the place of an error inside a union: no part of the file."""


def first_reason(error: ValidationError, whole: str) -> str:
    """Return ``place: reason`` of the first error; ``whole`` names the place at the top."""
    first = error.errors(include_url=False, include_input=False)[0]
    kind, place = first["type"], list(first["loc"])
    key = place.pop() if kind in ("missing", "extra_forbidden") else ""
    where = ""
    for before, part in pairwise(["", *place]):
        if isinstance(part, int):
            where += f"[{part}]"
        elif not (isinstance(before, int) and part in _TAGS):
            where += f".{part}"
    template = _REASONS.get(kind)
    words = {name: shorten(str(value)) for name, value in first.get("ctx", {}).items()}
    reason = (
        template.format(key=shorten(str(key)), **words)
        if template
        else first["msg"].removeprefix("Value error, ")
    )
    return f"{shorten(where.removeprefix('.')) or whole}: {reason}"
