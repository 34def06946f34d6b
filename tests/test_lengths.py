"""A file holds one idea, a function does one thing: neither is longer than that takes."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from meancache_plan.cli.commands import COMMANDS

ROOT = Path(__file__).parent.parent
FOLDERS = ("benchmarks", "calibration", "integrations", "meancache_plan", "runtime", "tests")
FILES = sorted(file for folder in FOLDERS for file in (ROOT / folder).rglob("*.py"))
LINES, BODY = 300, 30
LISTS_OF_OPTIONS = {(command.__module__, command.__name__) for command in COMMANDS}
"""Commands, whose bodies name their options once more."""


def module(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts)


def bodies(code: str) -> Iterator[tuple[str, int]]:
    """Each function's name and how many lines its body has, its docstring not counted."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[ast.get_docstring(node) is not None :]
            yield node.name, (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def test_no_file_has_more_than_300_lines() -> None:
    lines = {module(file): len(file.read_text(encoding="utf-8").splitlines()) for file in FILES}
    assert len(lines) > 500
    assert not {name for name, count in lines.items() if count > LINES}


def test_no_body_has_more_than_30_lines_but_those_of_commands() -> None:
    found = {
        (module(file), name)
        for file in FILES
        for name, count in bodies(file.read_text(encoding="utf-8"))
        if count > BODY
    }
    assert found <= LISTS_OF_OPTIONS


@pytest.mark.parametrize(
    ("code", "count"),
    [
        ('def f():\n    """What.\n\n    How.\n    """\n    a = 1\n\n    return a\n', 3),
        ("async def f():\n    return (\n        1,\n    )\n", 3),
        ('class A:\n    def f(\n        self,\n    ):\n        """Nothing."""\n', 0),
    ],
)
def test_a_body_goes_from_its_first_statement_to_its_last_line(code: str, count: int) -> None:
    assert list(bodies(code)) == [("f", count)]
