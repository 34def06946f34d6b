"""The folder of sample pictures that an evaluation leaves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from meancache_plan.errors import InputError
from meancache_plan.judge.findings import Evaluation, Shot
from meancache_plan.judge.sample_folder import (
    COUNT,
    FRAMES,
    SampleFolder,
    from_levels,
    load_samples,
    to_levels,
)
from meancache_plan.schedule.artifact import ModelIdentity

EVALUATION = Evaluation(
    model=ModelIdentity(
        id="m", revision=None, fingerprint=None, pipeline=None, scheduler=None, adapters=()
    ),
    schedule_sha256="sha256:0",
    steps=12,
    prompts_sha256="sha256:1",
    prompts=2,
    seeds=(0, 1),
    latent_range=4.0,
    device="cpu",
    versions={},
    rows=(),
)


def shot(prompt: str, method: str, budget: int, grey: float, *, seed: int = 0) -> Shot:
    frames = np.full((1, 16, 24, 3), grey, dtype=np.float32)
    return Shot(prompt, seed, method, budget, budget, 30.0, frames)


def grey(file: Path) -> float:
    with Image.open(file) as picture:
        return float(np.asarray(picture).mean())


def written(folder: Path) -> SampleFolder:
    writer = SampleFolder(folder)
    for prompt, full in (("red fox", 0.2), ("</script>", 0.4)):
        for seed in (0, 1):
            writer.keep(shot(prompt, "full", 12, full + seed / 2, seed=seed))
            writer.keep(shot(prompt, "plan", 3, full + 0.1, seed=seed))
            writer.keep(shot(prompt, "fewer-steps", 3, 0.0, seed=seed))
            writer.keep(shot(prompt, "plan", 8, full + 0.001, seed=seed))
    return writer


def test_a_folder_reads_back_as_what_was_shown_to_it(tmp_path: Path) -> None:
    folder = tmp_path / "judged"
    found = written(folder).finish(EVALUATION)
    assert load_samples(folder) == found
    assert [(s.prompt, s.seed) for s in found.samples] == [("red fox", 0), ("</script>", 0)]
    for sample, full in zip(found.samples, (0.2, 0.4), strict=True):
        assert [cached.budget for cached in sample.cached] == [3, 8]
        assert grey(folder / sample.full) == pytest.approx(255 * full, abs=0.5)
        assert grey(folder / sample.cached[0].picture) == pytest.approx(255 * (full + 0.1), abs=1)
    assert Evaluation.model_validate_json((folder / "figures.json").read_text()) == EVALUATION


def test_error_maps_keep_errors_that_eight_bit_pictures_lose(tmp_path: Path) -> None:
    sample = written(tmp_path / "judged").finish(EVALUATION).samples[0]
    with Image.open(tmp_path / "judged" / sample.cached[1].error) as picture:
        errors = from_levels(np.asarray(picture))
    assert errors == pytest.approx(np.full((16, 24), 0.001), rel=0.03)


def test_grey_levels_of_errors_are_within_three_percent() -> None:
    errors = np.array([[0.0, 1e-6, 3.3e-5, 0.004, 0.5, 1.0]])
    assert from_levels(to_levels(errors)) == pytest.approx(errors, rel=0.03)
    assert to_levels(errors)[0, 0] == 0


def test_a_second_evaluation_replaces_the_first(tmp_path: Path) -> None:
    folder = tmp_path / "judged"
    written(folder).finish(EVALUATION)
    again = SampleFolder(folder)
    again.keep(shot("red fox", "full", 12, 0.2))
    again.finish(EVALUATION)
    assert sorted(file.name for file in folder.iterdir()) == [
        "001-full.png", "figures.json", "samples.json",
    ]  # fmt: skip


def test_a_folder_of_other_files_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "holiday.png").write_bytes(b"x")
    with pytest.raises(InputError, match=r"holds holiday\.png.*new folder"):
        SampleFolder(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["holiday.png"]


def test_a_folder_without_a_manifest_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="evaluate --samples"):
        load_samples(tmp_path)


@pytest.mark.parametrize("name", ["../../secret.png", "/etc/passwd", "001-full.png\n", "a.png"])
def test_a_manifest_cannot_name_files_outside_of_its_folder(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "judged"
    found = written(folder).finish(EVALUATION)
    sample = found.samples[0].model_copy(update={"full": name})
    text = found.model_copy(update={"samples": (sample,)}).model_dump_json()
    (folder / "samples.json").write_text(text)
    with pytest.raises(InputError, match="full"):
        load_samples(folder)


@pytest.mark.parametrize(("made", "kept"), [(9, 9), (81, FRAMES)])
def test_of_a_video_frames_are_kept_one_below_the_other(
    tmp_path: Path, made: int, kept: int
) -> None:
    greys = np.linspace(0.1, 0.9, made, dtype=np.float32)
    video = np.broadcast_to(greys[:, None, None, None], (made, 16, 24, 3))
    writer = SampleFolder(tmp_path / "judged")
    for method, budget, frames in (("full", 12, video), ("plan", 3, video + np.float32(0.05))):
        writer.keep(Shot("a cat rising", 0, method, budget, budget, 30.0, frames))
    sample = writer.finish(EVALUATION).samples[0]
    with Image.open(tmp_path / "judged" / sample.full) as picture:
        strip = np.asarray(picture).reshape(kept, 16, 24, 3)
        assert int(picture.info[COUNT]) == kept
    assert strip[[0, -1], 0, 0, 0] == pytest.approx([0.1 * 255, 0.9 * 255], abs=0.5)
    assert np.all(np.diff(strip[:, 0, 0, 0].astype(int)) > 0)
    with Image.open(tmp_path / "judged" / sample.cached[0].error) as picture:
        assert picture.size == (24, 16 * kept)
        errors = from_levels(np.asarray(picture))
    assert errors == pytest.approx(np.full((16 * kept, 24), 0.05), rel=0.03)
