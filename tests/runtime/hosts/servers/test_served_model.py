"""A server's model is known by what it was loaded from."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import huggingface_hub
import pytest
from diffusers import FluxPipeline

from meancache_runtime import load_schedule
from meancache_runtime.errors import ModelMismatchError
from meancache_runtime.hosts.diffusers.identity import fingerprint, kind
from meancache_runtime.hosts.servers.served_model import check_served
from meancache_runtime.schedule import Model

ROOT = Path(__file__).parents[4]
REFERENCE = ROOT / "calibration" / "reference"
REFERENCE_MODEL = load_schedule(ROOT / "schedules" / "reference" / "50-steps.json").model
UNKNOWN = Model("tiny", None, None, None, None, ())


@pytest.fixture
def folder(tmp_path: Path, tiny_flux: FluxPipeline) -> Path:
    tiny_flux.save_pretrained(tmp_path / "tiny")
    return tmp_path / "tiny"


def test_the_shipped_schedule_knows_the_reference_pipelines_folder() -> None:
    assert REFERENCE_MODEL is not None
    assert check_served(REFERENCE_MODEL, str(REFERENCE))


@pytest.mark.parametrize("identify", [fingerprint, kind])
def test_a_folder_has_the_fingerprint_of_the_pipeline_that_is_loaded_from_it(
    folder: Path, tiny_flux: FluxPipeline, identify: object
) -> None:
    assert check_served(replace(UNKNOWN, fingerprint=identify(tiny_flux)), str(folder))


def test_another_denoiser_is_refused(folder: Path) -> None:
    assert REFERENCE_MODEL is not None
    with pytest.raises(ModelMismatchError, match=r"another denoiser \(transformer\)"):
        check_served(REFERENCE_MODEL, str(folder))


def test_a_hub_id_is_compared_and_found_in_the_local_cache(
    folder: Path, tiny_flux: FluxPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str, str | None]] = []

    def cached(repository: str, file: str, revision: str | None) -> str:
        asked.append((repository, file, revision))
        return str(folder / file)

    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", cached)
    model = replace(UNKNOWN, id="owner/name", fingerprint=fingerprint(tiny_flux))
    assert check_served(model, "owner/name", "main")
    assert asked == [("owner/name", "model_index.json", "main")]
    with pytest.raises(ModelMismatchError, match=r"compiled for owner/name, .* is owner/other"):
        check_served(model, "owner/other")


def test_what_has_no_configuration_here_is_not_refused_and_not_called_compared(
    folder: Path, tmp_path: Path, tiny_flux: FluxPipeline
) -> None:
    model = replace(UNKNOWN, fingerprint=fingerprint(tiny_flux))
    assert check_served(UNKNOWN, str(folder))
    assert not check_served(model, str(tmp_path))
    assert not check_served(model, str(tmp_path / "model.safetensors"))
    config = folder / "transformer" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "_class_name": "Unheard"}))
    assert not check_served(model, str(folder))
