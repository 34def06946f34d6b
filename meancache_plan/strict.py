"""What pydantic models of our files are made of: a strict base, and bounded types."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from meancache_runtime import schedule as runtime
from meancache_runtime import strict_json

Text = Annotated[str, Field(min_length=1, max_length=strict_json.MAX_TEXT)]
Step = Annotated[int, Field(ge=0, lt=runtime.MAX_STEPS)]
Count = Annotated[int, Field(ge=1, le=1_000_000_000)]
Real = Annotated[float, Field(ge=-1e6, le=1e6)]
Pixels = Annotated[int, Field(ge=1, le=1_000_000)]


class Strict(BaseModel):
    """Unknown keys, implicit conversions and non-finite numbers are refused."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        allow_inf_nan=False,
        json_schema_serialization_defaults_required=True,
    )
