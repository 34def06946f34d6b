"""The tables of pipelines: ``python -m tests.families.table`` prints docs/PIPELINES.md.

``--short`` prints the README's table, and ``--write`` writes both where they belong.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from tests.families import catalogue
from tests.families.case import Case, Refusal

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "PIPELINES.md"
README = ROOT / "README.md"
BETWEEN = re.compile(r"(?<=<!-- pipelines -->\n).*?(?=<!-- /pipelines -->)", re.DOTALL)
"""The README's part that ``short`` is."""

DIFFUSERS = "0.42.1"
"""The version that every row was tested with."""

INTRODUCTION = f"""\
# Pipelines

Each row with tested budgets was tested (`pytest tests/families`) with diffusers {DIFFUSERS}: its
own pipeline, transformer and scheduler classes, tiny and with random weights. That shows that a
schedule fits the pipeline, not how good its pictures are. For every such row

- calibrate → solve → attach works end to end;
- with a budget of all steps the output is bit-identical to the plain run;
- with a budget of B the denoiser runs exactly B times its calls a refresh (a guidance by two calls
  has two);
- the output equals a plan followed by hand (to 10⁻⁴ relative, in fp32): the denoiser runs at every
  step, and an integrator written from the format's specification uses its outputs at knots alone;
- an exception in mid-run leaves nothing behind, and detaching leaves the pipeline as it was found.

A row that is refused raises the error that is named. Pipelines that are not listed were not tried;
all are intercepted in the same way. `make pipelines` writes this page.

"""


def page() -> str:
    """The whole page, with a table of every case and refusal."""
    head = ("Models", "Pipeline", "Sampler", "Calls a refresh", "Tested budgets", "Notes")
    return INTRODUCTION + _table(head, [row for group in _groups() for row in _rows(*group)])


def short() -> str:
    """One row a family: pipelines that work, pipelines that are refused."""
    rows = [(family, _classes(yes), _titles(no)) for family, yes, no in _groups()]
    return _table(("Models", "Work", "Are refused"), rows)


def _groups() -> list[tuple[str, list[Case], list[Refusal]]]:
    """Families by name with their rows; those of which nothing works come last."""
    both = (*catalogue.CASES, *catalogue.REFUSALS)
    groups = [
        (
            family,
            [case for case in catalogue.CASES if case.family == family],
            [refusal for refusal in catalogue.REFUSALS if refusal.family == family],
        )
        for family in sorted({row.family for row in both}, key=str.casefold)
    ]
    return sorted(groups, key=lambda group: not group[1])


def _rows(family: str, cases: list[Case], refusals: list[Refusal]) -> list[tuple[str, ...]]:
    rows = [(_title(case.name), *_worked(case)) for case in cases]
    rows += [(_title(refusal.name), *_refused(refusal)) for refusal in refusals]
    return [("" if number else family, *row) for number, row in enumerate(rows)]


def _worked(case: Case) -> tuple[str, ...]:
    budgets = ", ".join(map(str, (*case.budgets, case.steps)))
    return f"`{case.sampler}`", str(case.branches), f"{budgets} of {case.steps} steps", case.note


def _refused(refusal: Refusal) -> tuple[str, ...]:
    sampler = type(refusal.build().scheduler).__name__
    return f"`{sampler}`", "", "refused", f"`{refusal.error}`: {refusal.reason}"


def _title(name: str) -> str:
    """The class in code, then what is special."""
    cls, comma, variant = name.partition(",")
    return f"`{cls}`{comma}{variant}"


def _classes(cases: list[Case]) -> str:
    """The classes, each once."""
    return ", ".join(f"`{cls}`" for cls in dict.fromkeys(c.name.split(",")[0] for c in cases))


def _titles(refusals: list[Refusal]) -> str:
    """The classes, with what is special in brackets."""
    parts = (refusal.name.partition(", ") for refusal in refusals)
    return ", ".join(f"`{cls}`" + (f" ({variant})" * bool(variant)) for cls, _, variant in parts)


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n".replace("|  |", "| |") for cells in lines)


def write() -> None:
    """Put both tables where they belong."""
    PAGE.write_text(page(), encoding="utf-8")
    readme = README.read_text(encoding="utf-8")
    README.write_text(BETWEEN.sub(lambda _: short(), readme), encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--short", action="store_true", help="print the README's table")
    choice.add_argument("--write", action="store_true", help="write both files")
    asked = parser.parse_args()
    if asked.write:
        write()
    else:
        print(short() if asked.short else page(), end="")
