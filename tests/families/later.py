"""Classes of diffusers that came after the oldest release that is promised.

A family imports them from here. A release that lacks one gives a stand-in, so that the family's
older pipelines are tested there too; only a test that is wrongly not skipped makes one of it. In
the release that the page is written with, and in newer ones, what is missing is an error.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from tests.families import versions


class Missing:
    """Stands for a class that the installed diffusers lacks."""

    def __init__(self, *_: Any, **__: Any) -> None:
        raise ImportError(f"diffusers {versions.INSTALLED} has no {type(self).__name__}")


def __getattr__(name: str) -> Any:
    return of("diffusers", name)


def of(module: str, name: str) -> Any:
    """A name of one of diffusers' modules, or a stand-in where the installed one is too old."""
    try:
        return getattr(import_module(module), name)
    except (AttributeError, ModuleNotFoundError):
        if not versions.is_old():
            raise
        return type(name, (Missing,), {})
