"""Step masks of other hosts, made into plans.

A mask says at which steps the model runs. The plan's predictors are the nearest to what the mask's
own host does between these; how good the plan is has yet to be judged, as of any other.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from meancache_plan.errors import InputError
from meancache_plan.files.validation import Step, first_reason
from meancache_plan.schedule.artifact import Grid, ModelIdentity, PlanEntry, Schedule
from meancache_runtime import strict_json
from meancache_runtime.errors import ScheduleError
from meancache_runtime.predictors import MAX_ORDER, Adams, Hold
from meancache_runtime.schedule import MAX_STEPS

ROUNDING = 2.0**-20
"""How far noise levels that were written as float32 may be off."""

MAX_YAML = 64 * 1024
"""Bytes of a YAML file, at most."""


@dataclass(frozen=True, slots=True)
class Mask:
    """What a file of another host says of a run.

    Attributes:
        steps: T.
        computed: The steps at which the model runs, ascending from 0.
        order: Of the extrapolation between them: 1 repeats, 2 is linear.
        sigmas: σ₀ … σ_T, if they are stated.
    """

    steps: int
    computed: tuple[int, ...]
    order: int
    sigmas: tuple[float, ...] | None = None

    def schedule(self, model: str) -> Schedule:
        """Of one plan: ``adams`` of :attr:`order`, or of as many knots as there are by then.

        Args:
            model: Its hub id or name.

        Raises:
            InputError: The noise levels or the steps make no schedule.
        """
        edges = pairwise((*self.computed, self.steps))
        intervals = tuple(
            Hold()
            if end - start == 1 or min(known, self.order) == 1
            else Adams((1.0,) * min(known, self.order))
            for known, (start, end) in enumerate(edges, start=1)
        )
        identity = ModelIdentity(
            id=model, revision=None, fingerprint=None, pipeline=None, scheduler=None, adapters=()
        )
        tolerance = 0.0 if self.sigmas is None else ROUNDING
        try:
            grid = Grid(steps=self.steps, sigmas=self.sigmas, tolerance=tolerance)
            plan = PlanEntry(budget=len(self.computed), knots=self.computed, intervals=intervals)
        except ValidationError as error:
            raise InputError(first_reason(error, "schedule")) from error
        return Schedule(model=identity, grid=grid, generation=None, plans=(plan,), provenance=None)


class _Known(BaseModel):
    """What is read is read strictly; keys that say nothing of steps are left to their host."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True, allow_inf_nan=False)


class _CacheDit(_Known):
    """``cache_config`` of cache-dit's YAML or JSON."""

    steps_computation_mask: Annotated[
        tuple[Annotated[int, Field(ge=0, le=1)], ...],
        Field(fail_fast=True, min_length=1, max_length=MAX_STEPS),
    ]
    steps_computation_policy: str = "dynamic"
    num_inference_steps: Annotated[int, Field(ge=1, le=MAX_STEPS)] | None = None
    enable_taylorseer: bool = False
    taylorseer_order: Annotated[int, Field(ge=1, lt=MAX_ORDER)] = 1
    enable_dmd: bool = False
    enable_foca: bool = False

    @model_validator(mode="after")
    def _check_kind(self) -> Self:
        if self.steps_computation_policy != "static":
            raise ValueError(
                f"steps_computation_policy: {strict_json.quote(self.steps_computation_policy)} "
                'decides while it runs, and a plan decides nothing: only "static" can be read'
            )
        for name in ("enable_dmd", "enable_foca"):
            if getattr(self, name):
                raise ValueError(f"{name}: no predictor of a plan is anything like it")
        return self

    @model_validator(mode="after")
    def _check_mask(self) -> Self:
        steps, mask = self.num_inference_steps, self.steps_computation_mask
        if steps not in (None, len(mask)):
            raise ValueError(
                f"steps_computation_mask: {len(mask)} entries; {steps} steps "
                f"(num_inference_steps) need {steps}"
            )
        if mask[0] != 1:
            raise ValueError(
                "steps_computation_mask: the first entry must be 1, as nothing is known before the "
                "first step"
            )
        return self

    def read(self) -> Mask:
        mask = self.steps_computation_mask
        computed = tuple(step for step, one in enumerate(mask) if one)
        return Mask(len(mask), computed, self.taylorseer_order + 1 if self.enable_taylorseer else 1)


class _CacheDitFile(_Known):
    cache_config: _CacheDit

    def read(self) -> Mask:
        return self.cache_config.read()


class _Linear(_Known):
    name: Literal["final-feature-linear-extrapolation"]
    order: Literal[1]


class _Request(_Known):
    num_inference_steps: Annotated[int, Field(ge=1, le=MAX_STEPS)]
    sigmas: Annotated[tuple[float, ...], Field(fail_fast=True, max_length=MAX_STEPS + 1)]


class _DPCache(_Known):
    """A schedule of sglang's DPCache, as drafted in its ``runtime/cache/dpcache.py``."""

    schema_: Annotated[Literal["sglang-dpcache-schedule-v2"], Field(alias="schema")]
    predictor: _Linear
    request: _Request
    full_steps: Annotated[
        tuple[Step, ...], Field(fail_fast=True, min_length=1, max_length=MAX_STEPS)
    ]
    num_full_steps: Annotated[int, Field(ge=1, le=MAX_STEPS)]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(self.full_steps) != self.num_full_steps:
            raise ValueError(
                f"full_steps: {len(self.full_steps)} entries; num_full_steps is "
                f"{self.num_full_steps}"
            )
        if self.full_steps[-1] >= self.request.num_inference_steps:
            raise ValueError(
                f"full_steps: {self.full_steps[-1]} is not among the steps 0 to "
                f"{self.request.num_inference_steps - 1}"
            )
        return self

    def read(self) -> Mask:
        request = self.request
        return Mask(request.num_inference_steps, self.full_steps, 2, request.sigmas)


class _Loader(yaml.SafeLoader):
    """YAML's plain values; no key twice, and nothing by reference."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise ScheduleError("aliases are not read: write the values out")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        found = super().construct_mapping(node, deep)
        if len(found) != len(node.value):
            raise ScheduleError("a key stands twice in one mapping")
        return found


def _decode_yaml(data: bytes) -> Any:
    """YAML as JSON has it: strings, numbers, lists and objects.

    Raises:
        ScheduleError: The bytes are not such YAML.
    """
    if len(data) > MAX_YAML:
        raise ScheduleError(f"larger than {MAX_YAML} bytes: not a step mask")
    try:
        return strict_json.decode(json.dumps(yaml.load(data, _Loader)).encode())
    except ScheduleError:
        raise
    except RecursionError as error:
        raise ScheduleError("nested too deeply") from error
    except (ArithmeticError, AttributeError, LookupError) as error:
        raise ScheduleError("not plain YAML: a value is not what its tag says") from error
    except (yaml.YAMLError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ScheduleError(f"not plain YAML: {reason}") from error


def read_mask(file: Path) -> Mask | None:
    """The steps in a file of cache-dit (YAML or JSON) or of sglang's DPCache (JSON).

    Returns:
        None for JSON of another kind, or none at all.

    Raises:
        InputError: The file cannot be read; or it is one of these, but not valid, or decides while
            it runs.
    """
    written_as_yaml = file.suffix in (".yaml", ".yml")
    try:
        with file.open("rb") as stream:
            data = stream.read(strict_json.MAX_BYTES + 1)
        value = _decode_yaml(data) if written_as_yaml else strict_json.decode(data)
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror}); give a file") from error
    except ScheduleError as error:
        if written_as_yaml:
            raise InputError(f"{file}: {error}") from error
        return None
    keys: Sequence[Any] = list(value) if isinstance(value, dict) else []
    if "cache_config" in keys or written_as_yaml:
        kind = _CacheDitFile
    elif str(value["schema"] if "schema" in keys else "").startswith("sglang-dpcache"):
        kind = _DPCache
    else:
        return None
    try:
        return kind.model_validate_json(json.dumps(value)).read()
    except ValidationError as error:
        raise InputError(f"{file}: {first_reason(error, 'file')}") from error
