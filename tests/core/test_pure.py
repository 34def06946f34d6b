"""The core is pure mathematics: it imports arrays, graphs, and what stands beneath it."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

import meancache_plan.core

OTHERS = {"networkx", "numpy", "scipy", "torch"}
BENEATH = {"meancache_plan.core", "meancache_plan.errors"}
RUNTIME = ("binding", "grid", "innovation", "predictors", "schedule")
BENEATH |= {f"meancache_runtime.{name}" for name in RUNTIME}
MODULES = sorted(Path(next(iter(meancache_plan.core.__path__))).rglob("*.py"))


def imported(path: Path) -> set[str]:
    """The modules that a file imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add("." * node.level + (node.module or ""))
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_a_module_of_the_core_imports_arrays_graphs_and_what_is_beneath_it(path: Path) -> None:
    for name in imported(path):
        allowed = name.partition(".")[0] in sys.stdlib_module_names | OTHERS
        assert allowed or any(f"{name}.".startswith(f"{each}.") for each in BENEATH), name


def test_there_is_a_core_to_look_at() -> None:
    assert {"numpy", "torch", "meancache_plan.errors"} <= set().union(*map(imported, MODULES))
