"""Of every pipeline that diffusers exports something is said, and of each in one place only."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.families import exported, versions


@pytest.mark.skipif(versions.is_old(), reason=f"{versions.OLD}: it exports what was dropped since")
def test_of_every_pipeline_that_diffusers_exports_something_is_said():
    assert exported.new() == []


def test_nothing_is_said_of_a_pipeline_that_diffusers_does_not_export():
    assert exported.gone() == []


def test_no_pipeline_that_was_only_read_is_said_to_be_tested_or_listed_twice():
    counts = Counter((*exported.read(), *exported.tested()))
    assert [name for name, count in counts.items() if count > 1] == []


def test_a_pipeline_that_a_release_brings_is_named_and_so_is_one_that_it_drops(
    monkeypatch: pytest.MonkeyPatch,
):
    found = exported.tested() | set(exported.read())
    monkeypatch.setattr(
        exported, "exported", lambda: found - {"FluxPipeline"} | {"NextPipeline", "LastPipeline"}
    )
    assert exported.new() == ["LastPipeline", "NextPipeline"]
    assert exported.gone() == ["FluxPipeline"]
    assert "NextPipeline: new" in exported.news()
    assert "FluxPipeline: not exported" in exported.news()
