"""What is skipped where an extra is not installed."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

needs_cache_dit = pytest.mark.skipif(
    find_spec("cache_dit") is None, reason="the extra `compare` is not installed"
)
