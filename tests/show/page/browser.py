"""A headless Chromium, driven by playwright."""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


class MissingBrowserError(RuntimeError):
    """There is no browser, or nothing to drive it."""


def program() -> str:
    """Where Chromium is."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        raise MissingBrowserError("no Chromium: install it, as in `apt-get install chromium`")
    return found


def driver() -> Any:
    """Playwright's interface."""
    try:
        return importlib.import_module("playwright.sync_api")
    except ImportError as error:
        raise MissingBrowserError("no playwright: pip install 'meancache-plan[browser]'") from error


@contextmanager
def launched() -> Iterator[Any]:
    """A browser, as long as the context lasts. Raises MissingBrowserError."""
    file, interface = program(), driver()
    with interface.sync_playwright() as started:
        found = started.chromium.launch(executable_path=file, args=list(FLAGS))
        try:
            yield found
        finally:
            found.close()
