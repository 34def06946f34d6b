"""The tables of pipelines say what the tests test."""

from __future__ import annotations

import runpy
import sys
from collections import Counter

import pytest

from tests.families import catalogue, reports, table
from tests.families.case import Case

every_case = pytest.mark.parametrize("case", catalogue.CASES, ids=lambda case: case.name)


def test_the_page_of_pipelines_is_what_the_command_prints(capfdbinary, monkeypatch):
    assert printed(capfdbinary, monkeypatch) == table.PAGE.read_bytes()


def printed(capfdbinary, monkeypatch) -> bytes:
    """What the command prints: ``make pipelines`` brings the page up to date."""
    monkeypatch.setattr(sys, "argv", ["table"])
    runpy.run_path(table.__file__, run_name="__main__")
    sys.stdout.flush()
    return capfdbinary.readouterr().out


@every_case
def test_the_sampler_that_the_table_names_is_the_pipelines(case: Case):
    assert type(case.build().scheduler).__name__ == case.sampler


def test_no_two_rows_have_one_name():
    names = Counter(row.name for row in (*catalogue.CASES, *catalogue.REFUSALS))
    assert not [name for name, count in names.items() if count > 1]


def test_every_reported_situation_is_tried_by_a_test_that_is_there():
    for report in reports.REPORTS:
        assert report.tests, report.situation
        for test in report.tests:
            file, _, name = test.partition("::")
            assert f"\ndef {name}(" in (reports.ROOT / file).read_text(encoding="utf-8"), test
