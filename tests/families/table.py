"""The tables of pipelines: ``python -m tests.families.table`` prints docs/PIPELINES.md.

``--write`` writes it where it belongs.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from tests.families import catalogue, exported, known_modular, outside, reports, versions, ways
from tests.families.case import Case, Refusal

PAGE = Path(__file__).parents[2] / "docs" / "PIPELINES.md"

INTRODUCTION = f"""\
# Pipelines

One interception serves nearly every flow-matching pipeline of diffusers: what was tried is below,
family by family, then class by class with everything that was tested; then every other pipeline
that diffusers exports, with what was read of it. `make pipelines` writes this page, and says which
pipelines of the installed diffusers are not on it. *From diffusers* is the first release with which
it was tested; {versions.OLDEST} is the oldest that is promised, and older ones may do.

## Families

"""

TESTED = f"""
## What was tested

Each row with tested budgets was tested (`pytest tests/families`) with diffusers
{versions.DIFFUSERS}: the pipeline's own classes for pipeline, transformer and scheduler, tiny and
with random weights. That shows that a schedule fits the pipeline, not how good its pictures are.
For every such row

- calibrate → solve → attach works end to end;
- with a budget of all steps the output is bit-identical to the plain run;
- with a plan of B knots the denoiser is called exactly B times as often as one refresh calls it
  (guidance by two calls: twice per refresh);
- the output equals a plan followed by hand (to a relative 10⁻⁴, in float32): the denoiser runs at
  every step, and an integrator written from the format's specification uses its outputs at the
  knots only;
- an exception in the middle of a run leaves nothing behind, and detaching leaves the pipeline as it
  was found.

A row that is refused raises the error that it names.

The same was tested with {versions.OLDEST}, the oldest release that is promised, for every row that
it has (`make test-oldest`), and with each release after it for the rows that came with it: put into
`.venv-oldest` in its place, from 0.39 on with transformers 5.15 and safetensors 0.8.

"""

MODULAR = """
## Modular pipelines

"""

OUTSIDE = """
## Not for schedules

Read, not tried, but for those that are refused above.

"""

RUN = """
## Ways of running

What people do with a pipeline that follows a plan, tried on tiny pipelines: *tested*, *refused* by
name, or *documented* where no machine was at hand that could test it.

"""

REPORTED = """
## What users of other caches reported

Situations from public issue trackers, in our words, tried on tiny pipelines: what happens here, and
the test that shows it.

"""


def page() -> str:
    """The whole page: one row per family, then every case and refusal."""
    groups = _groups()
    families = [(family, _oldest(yes), _classes(yes), _titles(no)) for family, yes, no in groups]
    head = (
        "Models",
        "Pipeline",
        "From diffusers",
        "Sampler",
        "Calls per refresh",
        "Tested budgets",
        "Notes",
    )
    rows = [row for group in groups for row in _rows(*group)]
    overview = _table(("Models", "From diffusers", "Works", "Refused"), families)
    return (
        INTRODUCTION
        + overview
        + TESTED
        + _table(head, rows)
        + MODULAR
        + _listed("What is known", known_modular.KNOWN)
        + OUTSIDE
        + _listed("Why", outside.REASONS)
        + RUN
        + _ways()
        + REPORTED
        + _reports()
    )


def _listed(head: str, groups: tuple[tuple[str, str], ...]) -> str:
    """A row for each thing that is said of many classes."""
    rows = [(what, ", ".join(f"`{name}`" for name in names.split())) for what, names in groups]
    return _table((head, "Pipelines"), rows)


def _ways() -> str:
    rows = [(each.name, each.verdict, each.here, _files(each.tests)) for each in ways.WAYS]
    return _table(("Way", "It is", "Here", "Test"), rows)


def _reports() -> str:
    rows = [(each.where, each.situation, each.here, _files(each.tests)) for each in reports.REPORTS]
    return _table(("Where", "Situation", "Here", "Test"), rows)


def _files(tests: tuple[str, ...]) -> str:
    """The tests' files; a function's name is the sentence that it shows."""
    return ", ".join(dict.fromkeys(f"`{test.partition('::')[0]}`" for test in tests))


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
    rows = [(_title(case.name), versions.since(case), *_worked(case)) for case in cases]
    rows += [(_title(each.name), versions.since(each), *_refused(each)) for each in refusals]
    return [("" if number else family, *row) for number, row in enumerate(rows)]


def _worked(case: Case) -> tuple[str, ...]:
    budgets = ", ".join(map(str, (*case.budgets, case.steps)))
    return f"`{case.sampler}`", str(case.branches), f"{budgets} of {case.steps} steps", case.note


def _refused(refusal: Refusal) -> tuple[str, ...]:
    return f"`{_sampler(refusal.build())}`", "", "refused", f"`{refusal.error}`: {refusal.reason}"


def _sampler(pipe: Any) -> str:
    """The class of its scheduler, whatever it is called."""
    name = next(name for name in pipe.components if name.endswith("scheduler"))
    return type(pipe.components[name]).__name__


def _oldest(cases: list[Case]) -> str:
    """The release from which the first of them works; empty if none does."""
    return min(map(versions.since, cases), key=versions.numbers, default="")


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


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write docs/PIPELINES.md")
    if parser.parse_args().write:
        PAGE.write_text(page(), encoding="utf-8")
        print(exported.news(), end="")
    else:
        print(page(), end="")
