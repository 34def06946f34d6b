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
