"""Every host of the conformance test; also the rows of docs/HOSTS.md."""

from __future__ import annotations

from importlib import import_module

from tests.hosts.host import Host

NAMES = ["loops", "in_jax", "pipelines", "modular", "servers", "comfyui", "in_mflux"]
"""The modules of this folder that hold hosts."""

HOSTS: tuple[Host, ...] = tuple(
    host for name in NAMES for host in import_module(f"tests.hosts.{name}").HOSTS
)
