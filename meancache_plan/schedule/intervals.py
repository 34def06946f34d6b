"""An interval's predictor as a schedule file has it; inside, the compiler has the runtime's own.

These models stand at the file's edge only: :data:`Interval` is a field of a plan's model that holds
one of :data:`meancache_runtime.predictors.Predictor`, and is checked and written by way of them.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, GetCoreSchemaHandler, model_validator
from pydantic_core import CoreSchema, core_schema

from meancache_plan.files.validation import Real, Strict
from meancache_runtime import schedule as runtime
from meancache_runtime.predictors import MAX_ORDER, Adams, Hold, Jvp, Predictor, Released


class HoldInterval(Strict):
    """û = v_t."""

    predictor: Literal["hold"] = "hold"

    def value(self) -> Hold:
        """The runtime's predictor."""
        return Hold()


class JvpInterval(Strict):
    """The paper's predictor over the last ``window`` steps (K)."""

    predictor: Literal["jvp"] = "jvp"
    window: Annotated[int, Field(ge=1, le=runtime.MAX_STEPS)]

    def value(self) -> Jvp:
        """The runtime's predictor."""
        return Jvp(self.window)


class ReleasedInterval(Strict):
    """The rule of MeanCache's released scripts, step by step over the last ``span`` steps (K)."""

    predictor: Literal["released"] = "released"
    span: Annotated[int, Field(ge=1, le=runtime.MAX_STEPS)]

    def value(self) -> Released:
        """The runtime's predictor."""
        return Released(self.span)


class AdamsInterval(Strict):
    """Adams–Bashforth over the last ``order`` knots, each term scaled by its gain."""

    predictor: Literal["adams"] = "adams"
    order: Annotated[int, Field(ge=1, le=MAX_ORDER)]
    gains: Annotated[tuple[Real, ...], Field(fail_fast=True, max_length=MAX_ORDER)]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(self.gains) != self.order:
            raise ValueError(
                f"gains: {len(self.gains)} given; order {self.order} needs {self.order}"
            )
        return self

    def value(self) -> Adams:
        """The runtime's predictor."""
        return Adams(self.gains)


_Filed = HoldInterval | JvpInterval | ReleasedInterval | AdamsInterval


def _filed(value: Predictor) -> _Filed:
    match value:
        case Hold():
            return HoldInterval()
        case Jvp(window):
            return JvpInterval(window=window)
        case Released(span):
            return ReleasedInterval(span=span)
        case Adams(gains):
            return AdamsInterval(order=len(gains), gains=gains)


class _AtTheEdge:
    """Makes a field of :data:`Predictor` that files have as :data:`_Filed`."""

    def __get_pydantic_core_schema__(self, _: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        file = handler.generate_schema(Annotated[_Filed, Field(discriminator="predictor")])
        read = core_schema.no_info_after_validator_function(lambda filed: filed.value(), file)
        return core_schema.json_or_python_schema(
            json_schema=read,
            python_schema=core_schema.no_info_before_validator_function(_filed, read),
            serialization=core_schema.plain_serializer_function_ser_schema(
                _filed, return_schema=file
            ),
        )


Interval = Annotated[Predictor, _AtTheEdge()]


def check_history(interval: Predictor, where: str, start: int, known: int) -> None:
    """Refuse a predictor that needs velocities from before the first step.

    Raises:
        ValueError: The predictor does; the message names the place and the reason.
    """
    match interval:
        case Hold():
            pass
        case Jvp(window):
            if window > start:
                raise ValueError(f"{where}.window: reaches {window} steps back from step {start}")
        case Released(span):
            if span > start + 1:
                raise ValueError(f"{where}.span: reaches {span} steps back from step {start + 1}")
        case Adams(gains):
            if (order := len(gains)) > known:
                raise ValueError(
                    f"{where}.order: order {order} needs {order} knots, {known} are known"
                )
