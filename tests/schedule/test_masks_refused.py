"""Step masks that are none, and hostile files, are refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.schedule.masks import CACHE_DIT, DPCACHE, changed, command, said

CONFIG = "cache_config/"
BAD: list[tuple[dict[str, Any], str, Any, str]] = [
    (CACHE_DIT, CONFIG + "steps_computation_policy", "dynamic", '"dynamic" decides while it runs'),
    (CACHE_DIT, CONFIG + "steps_computation_policy", None, '"dynamic" decides while it runs'),
    (CACHE_DIT, CONFIG + "steps_computation_mask", None, "steps_computation_mask"),
    (CACHE_DIT, CONFIG + "steps_computation_mask", "medium", "must be a list"),
    (CACHE_DIT, CONFIG + "steps_computation_mask", [], "at least 1"),
    (CACHE_DIT, CONFIG + "steps_computation_mask", [0, 1], "the first entry must be 1"),
    (CACHE_DIT, CONFIG + "steps_computation_mask", [1, 2], "at most 1"),
    (CACHE_DIT, CONFIG + "steps_computation_mask", [1, True], "must be an integer"),
    (CACHE_DIT, CONFIG + "steps_computation_mask", [1] * 1001, "at most 1000 entries"),
    (CACHE_DIT, CONFIG + "num_inference_steps", 9, "10 entries; 9 steps"),
    (CACHE_DIT, CONFIG + "enable_dmd", True, "enable_dmd: no predictor"),
    (CACHE_DIT, CONFIG + "taylorseer_order", 4, "less than 4"),
    (CACHE_DIT, "cache_config", [1], "cache_config: must be an object"),
    (DPCACHE, "schema", "sglang-dpcache-schedule-v1", "schema: is unknown"),
    (DPCACHE, "predictor/name", "cubic", "predictor.name: is unknown"),
    (DPCACHE, "request/sigmas", None, '"sigmas" is missing'),
    (DPCACHE, "request/sigmas", [1.0, 0.0], "2 values; 10 steps need 11"),
    (DPCACHE, "request/sigmas", [1.0] * 11, "strictly monotone"),
    (DPCACHE, "request/sigmas", [2 - i / 10 for i in range(11)], "at most 1"),
    (DPCACHE, "request/num_inference_steps", 7, "7 is not among the steps 0 to 6"),
    (DPCACHE, "full_steps", [1, 2, 3, 7], "the first knot must be 0"),
    (DPCACHE, "full_steps", [0, 3, 1, 7], "strictly ascending"),
    (DPCACHE, "full_steps", [0, -1, 3, 7], "out of range"),
    (DPCACHE, "full_steps", [0, 1], "num_full_steps is 4"),
]


@pytest.mark.parametrize(("file", "place", "value", "reason"), BAD)
def test_what_is_no_plan_is_refused_by_name(
    file: dict[str, Any],
    place: str,
    value: Any,
    reason: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(changed(file, place, value)))
    assert command("import-plans", path, "--model", "a/model", "-o", tmp_path / "out.json") == 2
    message = said(capsys)
    assert reason in message
    assert "bad.json: " in message
    assert not (tmp_path / "out.json").exists()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("- 1", "must be an object"),
        ("a: 1", '"cache_config" is missing'),
        ("cache_config: {a: 1, a: 2}", "stands twice"),
        ("a: &x [1]\ncache_config: *x", "aliases are not read"),
        ("a: &x {b: 1}\ncache_config: {<<: *x}", "aliases are not read"),
        ("cache_config: !!python/object/apply:os.system [ls]", "not plain YAML"),
        ("cache_config: 2026-01-01", "not plain YAML"),
        ('a: !!int ""', "not what its tag says"),
        ("a: !!bool x", "not what its tag says"),
        ("a: !!timestamp x", "not what its tag says"),
        ("a: 1" + ":59" * 15_000 + ".5", "not what its tag says"),
        ('a: "\\UFFFFFFFF"', "not what its tag says"),
        ("cache_config: {? [1] : 2}", "not plain YAML"),
        ("cache_config: .nan", "not a finite number"),
        ("cache_config: {", "not plain YAML"),
        ("\x00", "not plain YAML"),
        ("[" * 20_000, "nested too deeply"),
        ("a: " + "9" * 400, "out of range"),
        ("# " + "x" * 70_000, "larger than"),
    ],
)
def test_hostile_yaml_is_refused_by_name(
    text: str, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    assert command("import-plans", path, "--model", "a/model", "-o", tmp_path / "out.json") == 2
    message = said(capsys)
    assert reason in message
    assert "Traceback" not in message


def test_a_mask_must_be_there_needs_a_models_name_and_is_not_replaced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mask.json"
    file.write_text(json.dumps(CACHE_DIT))
    assert command("import-plans", file, "-o", tmp_path / "folder") == 2
    assert "give --model" in said(capsys)
    for model, reason in (("", "must not be empty"), ("m" * 1001, "at most 1000 characters")):
        assert command("import-plans", file, "--model", model, "-o", tmp_path / "out") == 2
        assert f"{reason}: give the model's hub id" in said(capsys)
    assert command("import-plans", file, "--model", "a/model", "-o", file) == 2
    assert "choose another file" in said(capsys)
    assert json.loads(file.read_text()) == CACHE_DIT
    for missing in ("none.yaml", "none.json"):
        path = tmp_path / missing
        assert command("import-plans", path, "--model", "a/model", "-o", tmp_path / "out") == 2
        assert f"{missing}: cannot be read (No such file" in said(capsys)
