"""The fake of ComfyUI, where a program finds ComfyUI itself."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "comfyui_fake"
NAMES = ("comfy", "comfy_api", "folder_paths", "integrations.comfyui.nodes")


@pytest.fixture
def comfyui(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """ComfyUI's modules are importable, and unknown again afterwards."""
    monkeypatch.syspath_prepend(str(FOLDER))
    yield
    for name in [n for n in sys.modules if n in NAMES or n.startswith(("comfy.", "comfy_api."))]:
        del sys.modules[name]
