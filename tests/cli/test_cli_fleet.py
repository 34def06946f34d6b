"""Options of workers and devices: what they need, what is noted, and what they leave as it was."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from diffusers import DiffusionPipeline

from meancache_plan import load_profile
from meancache_plan.cli import ray_options
from meancache_plan.cli.loading_options import Loading
from tests.commands import refuse, run

MODEL = ("model", "--recipe", "tiny.toml")


@pytest.mark.parametrize("option", ["--workers", "--gpus-per-worker", "--gang", "--parallel"])
def test_what_is_for_workers_is_refused_without_them(
    model: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    assert "add --ray" in refuse(capsys, "calibrate", *MODEL, option, "2")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ("--parallel fsdp", "say among how many, with --gang"),
        ("--gang 2 --offload model", "leave out --offload"),
        ("--gang 2 --gpus-per-worker 2", "leave out --offload and --gpus-per-worker"),
        ("--gang 2 --device cpu", "leave out --device"),
        ("--gang 1", "--gang"),
    ],
)
def test_a_gang_that_cannot_be_is_refused(
    model: Path, capsys: pytest.CaptureFixture[str], options: str, reason: str
) -> None:
    assert reason in refuse(capsys, "calibrate", *MODEL, "--ray", *options.split())


@pytest.mark.parametrize(
    "command",
    [
        ("calibrate", *MODEL),
        ("refine", "paper.json", "--model", *MODEL, "--profile", "meancache.profile.safetensors"),
        ("evaluate", *MODEL, "--schedule", "paper.json"),
        ("compare", *MODEL, "--schedule", "paper.json"),
    ],
)
def test_without_ray_it_is_said_what_to_install(
    model: Path,
    cwd: Path,
    profile: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    command: tuple[str, ...],
) -> None:
    run("solve", str(profile), "--budget", "3", "-o", "paper.json")
    monkeypatch.setattr(ray_options, "find_spec", lambda name: None)
    assert "pip install ./runtime '.[ray]'" in refuse(capsys, *command, "--ray")


@pytest.mark.parametrize(
    ("options", "devices"),
    [((), "a device; 12.5"), (("--gang", "4"), "4 devices; 50")],
)
def test_a_dry_run_tells_the_time_of_workers_and_of_their_devices(
    cwd: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], devices: str
) -> None:
    run("calibrate", "black-forest-labs/FLUX.1-dev", "--dry-run", "--no-propagation",
        "--workers", "8", "--seconds-per-step", "3.6", *options)  # fmt: skip
    said = " ".join(capsys.readouterr().out.split())
    # 250 samples of 50 steps: 12.5 hours; the busiest of 8 has 32 samples of 0.05 hours.
    assert f"8 workers 1.6 hours, if each has {devices} device hours in all" in said


def test_any_device_is_noted_and_not_mixed_with_a_certain_one(
    model: Path, cwd: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("calibrate", *MODEL, "--any-device", "-o", "p")
    noted = load_profile(cwd / "p").settings.versions
    assert noted["device"] == "any"
    assert "threads" not in noted
    assert "versions.device" in refuse(capsys, "calibrate", *MODEL, "-o", "p")


def test_offloading_layers_leaves_a_profile_as_it_is(model: Path, cwd: Path) -> None:
    run("calibrate", *MODEL, "--device", "cpu", "-o", "plain")
    run("calibrate", *MODEL, "--device", "cpu", "--offload", "group", "-o", "offloaded")
    plain, offloaded = (load_profile(cwd / name) for name in ("plain", "offloaded"))
    assert plain.fingerprint == offloaded.fingerprint


def test_over_several_gpus_diffusers_spreads_the_components(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked for it; on a CPU there is nothing to spread over."""
    asked: list[object] = []
    whole = DiffusionPipeline.from_pretrained

    def loaded(source: str, **options: object) -> object:
        asked.append(options.pop("device_map", None))
        return whole(source, **options)

    monkeypatch.setattr(DiffusionPipeline, "from_pretrained", loaded)
    loading = Loading(str(model), "tiny.toml", device="cpu")
    loading.load()
    replace(loading, device=None, gpus=2).load()
    assert asked == [None, "balanced"]
