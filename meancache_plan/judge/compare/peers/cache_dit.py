"""DBCache of the library cache-dit, with and without its TaylorSeer; an optional extra."""

import importlib
import logging
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

from meancache_plan.judge.contender import Contender, Enter, UnavailableError
from meancache_plan.judge.sample_cost import Forms
from meancache_plan.source.diffusers.pipeline import Pipeline

LOGGER = "CACHE_DIT"


def dual_block(
    steps: int,
    forms: Forms,
    thresholds: Sequence[float],
    warm_ups: Sequence[int],
    taylor_order: int | None,
) -> list[Contender]:
    """DBCache F1B0: all blocks are skipped while the first one's residual changes little.

    Args:
        steps: T.
        forms: How the pipeline calls its denoiser; branches in calls of their own are told apart.
        thresholds: Of the residual's relative change.
        warm_ups: Full computations at the start.
        taylor_order: Extrapolate what is skipped; None reuses it.
    """
    name = "DBCache" if taylor_order is None else "DBCache + TaylorSeer"

    def peer(threshold: float, warm_up: int) -> Contender:
        settings: dict[str, Any] = {
            "Fn_compute_blocks": 1,
            "Bn_compute_blocks": 0,
            "max_warmup_steps": warm_up,
            "residual_diff_threshold": threshold,
            "enable_separate_cfg": forms.calls > 1,
        }
        setting = f"threshold {threshold:g}, {warm_up} first"
        return Contender(name, setting, steps, _enter(settings, taylor_order), adaptive=True)

    return [peer(threshold, warm_up) for threshold in thresholds for warm_up in warm_ups]


def _library() -> Any:
    try:
        return importlib.import_module("cache_dit")
    except ImportError as error:
        raise UnavailableError(
            f"cache-dit cannot be imported ({error}): pip install 'meancache-plan[compare]'"
        ) from error


def _enter(settings: dict[str, Any], taylor_order: int | None) -> Enter:
    @contextmanager
    def enter(pipeline: Pipeline) -> Generator[None]:
        library = _library()
        with _silent():
            calibrator = (
                None
                if taylor_order is None
                else library.TaylorSeerCalibratorConfig(taylorseer_order=taylor_order)
            )
            config = library.DBCacheConfig(**settings)
            library.enable_cache(pipeline.pipe, cache_config=config, calibrator_config=calibrator)
            try:
                yield
            finally:
                library.disable_cache(pipeline.pipe)

    return enter


@contextmanager
def _silent() -> Generator[None]:
    """Keep its news of every step of its own off the terminal."""
    loggers = [logging.getLogger(LOGGER)]
    loggers += [
        logger
        for name, logger in logging.root.manager.loggerDict.items()
        if name.startswith("cache_dit") and isinstance(logger, logging.Logger)
    ]
    before = [logger.disabled for logger in loggers]
    for logger in loggers:
        logger.disabled = True
    try:
        yield
    finally:
        for logger, disabled in zip(loggers, before, strict=True):
            logger.disabled = disabled
