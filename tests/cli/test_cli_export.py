"""``export``: what it writes is the plan, and what cannot be bound is refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from meancache_plan.cli import app, main
from meancache_plan.errors import InputError
from meancache_plan.measure.transfer import read_sigmas
from meancache_plan.source.catalog import schedule_files
from meancache_runtime import integrate, load_schedule

REFERENCE = schedule_files()["reference/50-steps"]
QWEN = schedule_files()["qwen-image/50-steps"]


def field(latents: float, sigma: float) -> float:
    return 0.4 * latents * latents - sigma


def test_whoever_has_the_table_alone_follows_the_plan(tmp_path: Path) -> None:
    options = ["--budget", "10", "-o", str(tmp_path / "t.json")]
    app(["export", str(REFERENCE), *options], standalone_mode=False)
    table = json.loads((tmp_path / "t.json").read_text())
    latents, fresh = 0.3, []
    for sigma, row in zip(table["sigmas"], table["weights"], strict=False):
        fresh.append(field(latents, sigma))
        latents += sum(weight * fresh[j] for j, weight in row)
    expected = integrate(field, 0.3, load_schedule(REFERENCE), budget=10)
    assert len(fresh) == 10
    assert latents == pytest.approx(expected, abs=1e-12)


def test_a_plan_for_any_grid_is_bound_to_the_noise_levels_that_are_given(tmp_path: Path) -> None:
    levels = [1 - i / 50 for i in range(51)]
    (tmp_path / "levels.json").write_text(json.dumps(levels))
    options = ["--sigmas", str(tmp_path / "levels.json"), "-o", str(tmp_path / "t.json")]
    command = ["export", str(QWEN), "--budget", "10", "--to", "table", *options]
    app(command, standalone_mode=False)
    table = json.loads((tmp_path / "t.json").read_text())
    assert table["sigmas"] == [levels[k] for k in table["knots"]] + [0.0]


@pytest.mark.parametrize(
    ("file", "options", "reason"),
    [
        (QWEN, ["--budget", "10"], "say with --sigmas"),
        (REFERENCE, ["--budget", "9"], "no plan for budget 9"),
        (REFERENCE, ["--budget", "10", "--sigmas", "levels.txt"], "made for 50"),
    ],
)
def test_what_cannot_be_written_is_refused_and_nothing_left(
    file: Path,
    options: list[str],
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("levels.txt").write_text("1 0.5 0")
    with pytest.raises(SystemExit) as ended:
        main(["export", str(file), *options, "-o", "t.json"])
    assert ended.value.code == 2
    assert reason in " ".join(capsys.readouterr().err.split())
    assert not Path("t.json").exists()


def test_neither_the_schedule_nor_the_noise_levels_are_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("s.json").write_bytes(QWEN.read_bytes())
    Path("levels.json").write_text(json.dumps([1 - i / 50 for i in range(51)]))
    command = ["export", "s.json", "--budget", "10", "--sigmas", "levels.json"]
    for output in ("s.json", "levels.json"):
        before = Path(output).read_bytes()
        with pytest.raises(SystemExit) as ended:
            main([*command, "-o", output])
        assert ended.value.code == 2
        assert "choose another file" in " ".join(capsys.readouterr().err.split())
        assert Path(output).read_bytes() == before


@pytest.mark.parametrize("text", ["[" * 200_000, "[1, " + "9" * 400 + ", 0]", "1 " * 600_000])
def test_a_hostile_list_of_noise_levels_is_refused_by_name(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "levels.json").write_text(text)
    options = ["--sigmas", str(tmp_path / "levels.json"), "-o", str(tmp_path / "t.json")]
    with pytest.raises(SystemExit) as ended:
        main(["export", str(QWEN), "--budget", "10", *options])
    assert ended.value.code == 2
    message = " ".join(capsys.readouterr().err.split())
    assert "not a readable list of noise levels" in message
    assert len(message) < 1000


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="there is no endless file here")
def test_noise_levels_without_an_end_are_refused() -> None:
    with pytest.raises(InputError, match="larger than 1048576 bytes"):
        read_sigmas("/dev/zero")
