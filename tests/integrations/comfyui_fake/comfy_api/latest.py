"""The interface of version 3 of ComfyUI's nodes: what is declared, and what is given back."""

from types import SimpleNamespace
from typing import Any


class ComfyNode:
    """A node: a schema and what it executes."""


class NodeOutput:
    """What a node gives, in the order of its outputs."""

    def __init__(self, *args: Any) -> None:
        self.args = args


class ComfyExtension:
    """What a package of nodes hands to ComfyUI."""


class Socket:
    """An input or an output of a node."""

    def __init__(self, id: str | None = None, **declared: Any) -> None:
        self.id = id
        self.declared = declared


def kind(type_: str) -> Any:
    """One type of values."""
    made = {name: type(name, (Socket,), {"io_type": type_}) for name in ("Input", "Output")}
    return SimpleNamespace(**made)


class io:
    """ComfyUI's name for all of it."""

    ComfyNode = ComfyNode
    NodeOutput = NodeOutput
    Schema = SimpleNamespace
    Combo, Int, String = kind("COMBO"), kind("INT"), kind("STRING")
    Sampler, Sigmas = kind("SAMPLER"), kind("SIGMAS")
