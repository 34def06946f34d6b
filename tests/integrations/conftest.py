"""The fake of ComfyUI, where a program finds ComfyUI itself."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "comfyui_fake"
NAMES = ("comfy", "comfy_api", "folder_paths", "integrations.comfyui.nodes")


@contextmanager
def faked() -> Iterator[None]:
    """ComfyUI's modules are importable, and unknown again afterwards."""
    sys.path.insert(0, str(FOLDER))
    try:
        yield
    finally:
        sys.path.remove(str(FOLDER))
        for name in [
            n for n in sys.modules if n in NAMES or n.startswith(("comfy.", "comfy_api."))
        ]:
            del sys.modules[name]


@pytest.fixture
def comfyui() -> Iterator[None]:
    """As :func:`faked`, in a test."""
    with faked():
        yield
