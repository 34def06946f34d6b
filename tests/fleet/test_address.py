"""Addresses at which there is no cluster are refused by name, before Ray tries for minutes."""

from __future__ import annotations

from pathlib import Path

import pytest

from meancache_plan.errors import InputError

pytest.importorskip("ray", reason="needs the extra ray")

from meancache_plan.fleet import on_ray
from meancache_plan.fleet.on_ray import joined


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("127.0.0.1:1", "nobody answers there"),
        ("127.0.0.1:99999", "nobody answers there"),
        ("nowhere", "cannot be joined"),
        ("http://127.0.0.1:8265", "cannot be joined"),
        ("ray://127.0.0.1:10001", "such as HEAD:6379"),
    ],
)
def test_what_is_no_clusters_address_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, address: str, reason: str
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(InputError, match=reason) as refused, joined():
        pass
    assert address in str(refused.value)


def test_a_cluster_that_ray_has_noted_and_that_is_gone_is_refused_by_name_or_left_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def init(**_: object) -> None:
        raise RuntimeError("here it would start")

    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "ray_current_cluster").write_text("127.0.0.1:1")
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.setattr(on_ray.ray, "init", init)
    for told in ("", "auto"):
        monkeypatch.setenv("RAY_ADDRESS", told)
        with pytest.raises(InputError, match=r"^127\.0\.0\.1:1, which .* run `ray stop`"), joined():
            pass
    monkeypatch.setenv("RAY_ADDRESS", "local")
    with pytest.raises(InputError, match="here it would start"), joined():
        pass
