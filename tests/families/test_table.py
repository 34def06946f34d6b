"""The tables of pipelines say what the tests test."""

from __future__ import annotations

import runpy
import sys
from collections import Counter
from typing import Any, get_args

import pytest

from tests.families import catalogue, reports, table, versions, ways
from tests.families.case import Case

every_case = versions.each(catalogue.CASES)


@pytest.mark.skipif(versions.is_old(), reason=f"{versions.OLD}: the page is of a newer one")
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


@pytest.mark.parametrize("row", [*reports.REPORTS, *ways.WAYS], ids=lambda row: row.here)
def test_every_situation_and_way_of_running_names_tests_that_are_there(row: Any):
    assert row.tests
    for test in row.tests:
        file, _, name = test.partition("::")
        assert f"\ndef {name}(" in (reports.ROOT / file).read_text(encoding="utf-8"), test


def test_what_a_way_of_running_is_said_to_be_is_one_of_three_words():
    assert {way.verdict for way in ways.WAYS} <= set(get_args(ways.Verdict))
