"""Caches of diffusers that skip blocks: FirstBlockCache, MagCache, TaylorSeer, SeaCache."""

import ast
import contextlib
import io
import logging
import re
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from meancache_plan.judge.compare.peers import sea_cache_inputs
from meancache_plan.judge.contender import (
    Contender,
    Enter,
    UnavailableError,
    reason_of,
    unavailable,
)
from meancache_plan.judge.left_as_found import left_as_found
from meancache_plan.source.diffusers.pipeline import Pipeline
from meancache_runtime.hosts.diffusers.identity import denoisers

RESULT = re.compile(r"\[[\d.]")
"""How the line begins that MagCache's calibration prints."""


def hooks() -> Any:
    """``diffusers.hooks``, where the configurations are. Raises UnavailableError if it is old."""
    import diffusers.hooks

    return diffusers.hooks


def enable(configure: Callable[[Pipeline], Any]) -> Enter:
    """Turn a cache on in every denoiser, and off again.

    Args:
        configure: Makes the configuration; AttributeError is a diffusers that lacks it.
    """

    @contextmanager
    def enter(pipeline: Pipeline) -> Generator[None]:
        try:
            config = configure(pipeline)
        except AttributeError as error:
            raise UnavailableError(f"this diffusers does not have it ({error})") from error
        modules = list(denoisers(pipeline.pipe).values())
        for module in modules:
            if not hasattr(module, "enable_cache"):
                raise UnavailableError(f"{type(module).__name__} has no enable_cache")
        entered: list[Any] = []
        try:
            for module in modules:
                module.enable_cache(config)
                entered.append(module)
            yield
        finally:
            for module in entered:
                module.disable_cache()

    return enter


def first_block(steps: int, thresholds: Sequence[float]) -> list[Contender]:
    """FirstBlockCache: all blocks are skipped while the first one's residual changes little."""

    def peer(threshold: float) -> Contender:
        enter = enable(lambda _: hooks().FirstBlockCacheConfig(threshold=threshold))
        return Contender("FirstBlockCache", f"threshold {threshold:g}", steps, enter, adaptive=True)

    return [peer(threshold) for threshold in thresholds]


def taylorseer(
    steps: int, intervals: Sequence[int], orders: Sequence[int], lite: bool, warm_up: int = 3
) -> list[Contender]:
    """TaylorSeer: outputs extrapolated in time; of attention layers, or (lite) of the whole model.

    Args:
        steps: T.
        intervals: Steps from one full computation to the next.
        orders: Of the Taylor series.
        lite: Skip all blocks and extrapolate the last projection.
        warm_up: Full computations at the start.
    """
    name = "TaylorSeer lite" if lite else "TaylorSeer"

    def peer(interval: int, order: int) -> Contender:
        def config(_pipeline: Pipeline) -> Any:
            return hooks().TaylorSeerCacheConfig(
                cache_interval=interval,
                max_order=order,
                disable_cache_before_step=warm_up,
                taylor_factors_dtype=torch.float32,
                use_lite_mode=lite,
            )

        return Contender(name, f"interval {interval}, order {order}", steps, enable(config))

    return [peer(interval, order) for interval in intervals for order in orders]


def sea(steps: int, thresholds: Sequence[float], most: Sequence[int]) -> list[Contender]:
    """SeaCache, told what a pipeline does not tell it; where it still caches nothing, it says why.

    Args:
        steps: T.
        thresholds: Of the accumulated change.
        most: Steps that may be skipped in a row.
    """

    def peer(threshold: float, skipped: int) -> Contender:
        inner = enable(
            lambda pipeline: hooks().SeaCacheConfig(
                threshold=threshold,
                max_consecutive_cached=skipped,
                raw_vision_callback=sea_cache_inputs.callback(pipeline),
            )
        )

        @contextmanager
        def enter(pipeline: Pipeline) -> Generator[None]:
            heard = _overheard("diffusers.hooks.sea_cache")
            with heard as said, inner(pipeline), sea_cache_inputs.told(pipeline):
                yield
            if said:
                raise UnavailableError(said[0])

        setting = f"threshold {threshold:g}, at most {skipped}"
        return Contender("SeaCache", setting, steps, enter, adaptive=True)

    return [peer(threshold, skipped) for threshold in thresholds for skipped in most]


def magnitudes(
    pipeline: Pipeline, prompts: Sequence[str], seed: int, steps: int
) -> list[float] | Exception:
    """MagCache's ratios by its own calibration mode, the mean over prompts; or why there are none.

    Args:
        pipeline: Runs in full, once a prompt; left as it was found.
        prompts: Calibration prompts.
        seed: Of the noise.
        steps: T.
    """
    enter = enable(lambda _: hooks().MagCacheConfig(calibrate=True, num_inference_steps=steps))
    found: list[list[float]] = []
    try:
        for prompt in prompts:
            printed = io.StringIO()
            with (
                left_as_found(pipeline.pipe),
                contextlib.redirect_stdout(printed),
                enter(pipeline),
            ):
                pipeline.run(prompt, seed, steps=steps, output_type="latent")
            lines = printed.getvalue().splitlines()
            found += [ast.literal_eval(line) for line in lines if RESULT.match(line)]
        if not found or any(len(each) != steps for each in found):
            raise UnavailableError("its calibration mode printed no ratios for these steps")
    except Exception as error:  # a row says so
        return error
    return np.mean(found, axis=0).tolist()


def mag(
    steps: int,
    ratios: list[float] | Exception,
    thresholds: Sequence[float],
    most: Sequence[int],
    retention: float,
    source: str = "",
) -> list[Contender]:
    """MagCache with ratios of :func:`magnitudes`.

    Args:
        steps: T.
        ratios: One a step, or why there are none.
        thresholds: Of the accumulated error.
        most: Steps that may be skipped in a row.
        retention: Share of the first steps that are never skipped.
        source: What the ratios were measured on.
    """

    def peer(threshold: float, skipped: int) -> Contender:
        def config(_pipeline: Pipeline) -> Any:
            return hooks().MagCacheConfig(
                threshold=threshold,
                max_skip_steps=skipped,
                retention_ratio=retention,
                num_inference_steps=steps,
                mag_ratios=ratios,
            )

        enter = unavailable(reason_of(ratios)) if isinstance(ratios, Exception) else enable(config)
        setting = f"threshold {threshold:g}, at most {skipped}"
        return Contender(
            "MagCache", setting, steps, enter, source=f"{source}, retention {retention:g}"
        )

    return [peer(threshold, skipped) for threshold in thresholds for skipped in most]


@contextmanager
def _overheard(name: str) -> Generator[list[str]]:
    """Collect the warnings of a logger, which go nowhere else meanwhile."""
    said: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    logger, listener = logging.getLogger(name), Listener(logging.WARNING)
    before = logger.level, logger.propagate
    logger.addHandler(listener)
    logger.setLevel(logging.WARNING)
    logger.propagate = False
    try:
        yield said
    finally:
        logger.removeHandler(listener)
        logger.setLevel(before[0])
        logger.propagate = before[1]
