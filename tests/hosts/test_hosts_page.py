"""The page of hosts says what the hosts do."""

from __future__ import annotations

import re

from tests.hosts import table

VERSION = re.compile(r"\d+(\.\d+)+")
"""The page has those that it was made with; other ones may be installed here."""


def test_the_page_of_hosts_is_what_the_command_prints() -> None:
    written = table.PAGE.read_text(encoding="utf-8")
    assert VERSION.sub("…", table.page()) == VERSION.sub("…", written)


def test_every_host_names_the_versions_that_ran() -> None:
    rows = [line for line in table.PAGE.read_text(encoding="utf-8").splitlines() if "| `" in line]
    assert len(rows) >= 10
    assert all(VERSION.search(row) for row in rows)
