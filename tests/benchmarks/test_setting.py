"""Which samples a contest is of, as commands say it."""

from __future__ import annotations

import argparse

import pytest

from benchmarks import golden, start
from benchmarks.planners import Setting


@pytest.mark.parametrize(
    ("options", "choose", "judged"),
    [
        (start.parse([]), False, 24),
        (start.parse(["--choose"]), True, 12),
        (golden.parse(["--heldout", "7"]), False, 7),
    ],
)
def test_a_contests_setting_is_what_the_options_say_and_defaults_where_there_is_none(
    options: argparse.Namespace, choose: bool, judged: int
) -> None:
    found = Setting.of(options)
    assert (found.model, found.choose, found.heldout) == ("reference", choose, judged)
    assert (found.folder, found.batch) == (options.folder, options.batch)
    assert (found.known, found.no_cfg) == (False, False)
