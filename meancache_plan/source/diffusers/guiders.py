"""A pipeline's guiders set otherwise for a while."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

from meancache_plan.errors import InputError


@contextmanager
def with_guiders(pipe: Any, settings: Mapping[str, float | bool]) -> Generator[None]:
    """Set guiders, and set them back afterwards.

    Args:
        pipe: A diffusers pipeline.
        settings: New values by names such as ``"guider.guidance_scale"``.

    Raises:
        InputError: The pipeline has no such guider, or that no such setting.
    """
    before: list[tuple[Any, str, Any]] = []
    try:
        for name, value in settings.items():
            guider, attribute = _place(pipe, name)
            before.append((guider, attribute, vars(guider)[attribute]))
            setattr(guider, attribute, value)
        yield
    finally:
        for guider, attribute, value in reversed(before):
            setattr(guider, attribute, value)


def _place(pipe: Any, name: str) -> tuple[Any, str]:
    """The guider of a setting and its attribute, which may be a private one."""
    component, _, setting = name.partition(".")
    guider = vars(pipe).get(component)
    if guider is None:
        raise InputError(f"{name}: this {type(pipe).__name__} has no {component}: leave it out")
    for attribute in (setting, f"_{setting}"):
        if isinstance(vars(guider).get(attribute), bool | int | float):
            return guider, attribute
    raise InputError(
        f"{name}: no setting of {type(guider).__name__} that is a number or a truth value: leave "
        "it out, or set the guider in Python and call meancache_plan.evaluate(…, also=True)"
    )
