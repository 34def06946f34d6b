"""Adapters that a callback changes in mid-run are no longer those that were compared before it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest

from meancache_runtime import attach
from meancache_runtime.errors import ModelMismatchError
from tests.runtime.hosts.diffusers.loras import add, made_on
from tests.runtime.hosts.diffusers.tiny_runs import run


def scaled(pipe: Any) -> None:
    pipe.set_adapters(["style"], 0.5)


def removed(pipe: Any) -> None:
    pipe.delete_adapters("style")


def added(pipe: Any) -> None:
    add(pipe, "detail", seed=1)


def at_step_2(change: Callable[[Any], None]) -> Callable[..., dict[str, Any]]:
    def callback(pipe: Any, step: int, _timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        if step == 2:
            change(pipe)
        return tensors

    return callback


@pytest.mark.parametrize("change", [added, scaled, removed])
def test_it_is_said_or_if_strict_refused(tiny_flux: Any, change: Callable[[Any], None]) -> None:
    add(tiny_flux, "style")
    schedule, callback = made_on(tiny_flux), at_step_2(change)
    with attach(tiny_flux, schedule) as attached:
        with pytest.warns(UserWarning, match="loaded, removed or scaled while the pipeline ran"):
            run(tiny_flux, callback_on_step_end=callback)
        [noted] = attached.stats.warnings
        assert (noted.kind, attached.stats.request) == ("adapters", "unknown")


def test_strict_refuses_it_when_the_run_is_over(tiny_flux: Any) -> None:
    add(tiny_flux, "style")
    with (
        attach(tiny_flux, made_on(tiny_flux), strict=True),
        pytest.raises(ModelMismatchError, match="while the pipeline ran"),
    ):
        run(tiny_flux, callback_on_step_end=at_step_2(scaled))


def test_nothing_is_said_of_adapters_that_stay(tiny_flux: Any) -> None:
    add(tiny_flux, "style")
    with attach(tiny_flux, made_on(tiny_flux), strict=True), warnings.catch_warnings():
        warnings.simplefilter("error")
        run(tiny_flux, callback_on_step_end=at_step_2(lambda pipe: None))
