"""What the tests use of JAX and older releases, from 0.6 on, have elsewhere."""

from __future__ import annotations

try:
    from jax import enable_x64
except ImportError:
    from jax.experimental import enable_x64

try:
    from jax import shard_map
except ImportError:
    from jax.experimental.shard_map import shard_map

__all__ = ["enable_x64", "shard_map"]
