"""A file's name says what is in it, wherever one meets it: its folder is not needed for that."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest

from meancache_plan.cli.commands import COMMANDS

ROOT = Path(__file__).parent.parent
PACKAGES = (ROOT / "meancache_plan", ROOT / "runtime/meancache_runtime")
OF_COMMANDS = {command.__module__ for command in COMMANDS}
"""They are named for what a user types, as is what does the work."""
ACROSS = {"corpus", "families", "hosts", "living"}
"""Folders of tests that go across the folders of the code."""
TWICE = {"conftest", "catalogue", "table"}
"""Names that mean the same in two folders of tests."""


def exported(init: Path) -> set[str]:
    """What a package's ``__all__`` lists."""
    lists = [
        node.value
        for node in ast.parse(init.read_text(encoding="utf-8")).body
        if isinstance(node, ast.Assign) and [ast.unparse(t) for t in node.targets] == ["__all__"]
    ]
    return {name for each in lists for name in ast.literal_eval(each)}


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_no_two_files_of_a_package_bear_one_name_but_those_of_commands(package: Path) -> None:
    files = [file for file in package.rglob("*.py") if file.stem != "__init__"]
    names = {".".join(file.relative_to(package.parent).with_suffix("").parts) for file in files}
    assert names >= OF_COMMANDS or package != PACKAGES[0]
    counts = Counter(name.rpartition(".")[2] for name in names - OF_COMMANDS)
    assert not {name for name, count in counts.items() if count > 1}


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_no_module_bears_the_name_of_what_its_package_exports(package: Path) -> None:
    inits = {init: exported(init) for init in package.rglob("__init__.py")}
    assert inits[package / "__init__.py"], "nothing is exported"
    for init, names in inits.items():
        modules = {path.stem for path in init.parent.iterdir() if path.suffix in ("", ".py")}
        assert not modules & names


def test_folders_of_tests_are_those_of_the_code() -> None:
    code = {path.name for parent in (ROOT, PACKAGES[0]) for path in parent.iterdir()}
    here = {path.name for path in Path(__file__).parent.iterdir() if any(path.glob("**/test_*.py"))}
    assert {"benchmarks", "calibration", "core", "runtime"} <= here
    assert here - ACROSS <= code


def test_no_two_files_of_tests_bear_one_name_but_those_that_mean_the_same() -> None:
    files = [file for file in Path(__file__).parent.rglob("*.py") if "fake" not in str(file)]
    counts = Counter(file.stem for file in files)
    assert {name for name, count in counts.items() if count > 1} == TWICE
