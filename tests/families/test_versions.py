"""Of every tested pipeline it is known which release of diffusers it came with."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.families import catalogue, exported, later, versions

NAMES = {release: names.split() for release, names in versions.CAME_WITH.items()}
ROWS = (*catalogue.CASES, *catalogue.REFUSALS)


def test_of_every_tested_pipeline_the_release_is_known_and_only_one():
    counts = Counter(name for names in NAMES.values() for name in names)
    assert sorted(exported.tested() - set(counts)) == []
    assert [name for name, count in counts.items() if count > 1] == []


@pytest.mark.parametrize("release", NAMES)
def test_the_installed_diffusers_exports_what_came_with_a_release_unless_it_is_older(release: str):
    found = exported.exported().intersection(NAMES[release])
    assert found == (set() if versions.lacks(release) else set(NAMES[release]))


def test_no_row_is_said_to_work_before_its_pipeline_came():
    for row in ROWS:
        came = versions.first(row.name.split(",")[0])
        assert versions.numbers(versions.since(row)) >= versions.numbers(came), row.name


def test_an_older_diffusers_has_stand_ins_and_skips_by_name_and_this_one_has_neither(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(versions, "INSTALLED", versions.DIFFUSERS)
    with pytest.raises(AttributeError, match="NextPipeline"):
        later.of("diffusers", "NextPipeline")
    with pytest.raises(ModuleNotFoundError):
        later.of("diffusers.pipelines.next", "NextPipeline")
    monkeypatch.setattr(versions, "INSTALLED", "0.38.0")
    assert {"LTX2HDRPipeline", "QwenImage21Pipeline"} <= versions.later()
    assert "LTX2Pipeline" not in versions.later()
    for module in ("diffusers", "diffusers.pipelines.next"):
        with pytest.raises(ImportError, match=r"diffusers 0\.38\.0 has no NextPipeline"):
            later.of(module, "NextPipeline")()
    condition, reason = skipped("0.39")
    assert condition
    assert reason == "diffusers 0.38.0 is too old for NextPipeline: from 0.39 on"
    assert not skipped("0.38")[0]


def skipped(release: str) -> tuple[bool, str]:
    """Whether what came with a release is skipped, and why."""
    mark = versions.came_with(release, "NextPipeline").mark
    return mark.args[0], mark.kwargs["reason"]
