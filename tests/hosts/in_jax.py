"""JAX: a scan over the refreshes, compiled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import io_callback

from meancache_runtime.hosts.jax import scan_sampler
from meancache_runtime.schedule import Schedule
from tests.hosts.host import Host, Latents, Model, Run
from tests.jax_names import enable_x64


def _scan(schedule: Schedule, budget: int, model: Model, dtype: str) -> Run:
    def velocity(z: Any, sigma: Any) -> Any:
        """The model outside of the compiled function, where its calls can be counted."""
        there = jax.ShapeDtypeStruct(z.shape, z.dtype)

        def answer(latents: Any, level: Any) -> Any:
            return model(latents, np.asarray(level)[()]).astype(latents.dtype)

        return io_callback(answer, there, z, sigma, ordered=True)

    def run(noise: Latents, sigmas: Sequence[float]) -> Latents:
        with enable_x64(dtype == "float64"):
            sample = jax.jit(scan_sampler(velocity, schedule, budget, sigmas))
            z = jnp.asarray(noise.reshape(2, 16, 16), dtype)
            return np.asarray(sample(z), np.float64).reshape(-1)

    return run


HOSTS = (
    Host(
        "JAX",
        "`scan_sampler` under `jax.jit`, on the CPU",
        _scan,
        ("jax",),
        ("float64", "float32", "bfloat16"),
        silent="a traced function cannot refuse; `checkify` finds it",
    ),
)
