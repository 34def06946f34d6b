"""Pictures of a report get coarser until it is no larger than it may be."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from meancache_plan.errors import InputError
from meancache_plan.judge.sample_folder import COUNT, Samples, from_levels
from meancache_plan.show.page import LIMIT, write_report
from meancache_plan.show.page.document import to_script_json
from meancache_plan.show.page.picture_data import SIDES, picture_data
from tests.show.page import reported
from tests.show.page.parsed import Page


def noisy(folder: Path, side: int) -> Samples:
    """Pictures that no compression makes small."""
    found = reported.samples(folder)
    rng = np.random.default_rng(0)
    for sample in found.samples:
        for name in (sample.full, *(cached.picture for cached in sample.cached)):
            noise = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
            Image.fromarray(noise).save(folder / name)
        for cached in sample.cached:
            Image.fromarray(np.full((side, side), 128, np.uint8)).save(folder / cached.error)
    return found


@pytest.mark.parametrize("share", [1.0, 0.3, 0.02])
def test_pictures_get_coarser_until_they_fit(tmp_path: Path, share: float) -> None:
    samples = noisy(tmp_path / "judged", 256)
    finest = picture_data(samples, LIMIT)
    assert finest is not None
    allowance = round(share * len(to_script_json(finest))) + 15_000
    found = picture_data(samples, allowance)
    assert found is not None
    assert len(to_script_json(found)) <= allowance
    assert ("with some loss" in found["note"]) == (share < 1)
    assert ("reduced" in found["note"]) == (share < 0.1)


@pytest.mark.parametrize("side", SIDES)
def test_error_maps_keep_their_mean_square_when_they_shrink(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, side: int
) -> None:
    samples = reported.samples(tmp_path / "judged")
    for sample in samples.samples:
        for cached in sample.cached:
            levels = np.full((1024, 1024), 100, np.uint8)
            levels[::2] = 140
            Image.fromarray(levels).save(tmp_path / "judged" / cached.error)
    expected = np.sqrt(np.mean(from_levels(np.array([100, 140], np.uint8)) ** 2))
    monkeypatch.setattr("meancache_plan.show.page.picture_data.SIDES", (side,))
    found = picture_data(samples, LIMIT)
    assert found is not None
    encoded = base64.b64decode(found["entries"][0]["cached"][0]["error"])
    with Image.open(io.BytesIO(encoded)) as picture:
        shown = from_levels(np.asarray(picture.convert("L")))
    assert max(picture.size) == (512 if side == 512 else side // 2)
    assert np.sqrt(np.mean(shown**2)) == pytest.approx(expected, rel=0.1)


def test_a_page_that_is_large_without_pictures_is_written_without_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("meancache_plan.show.page.report_writing.LIMIT", 1_000)
    write_report(
        reported.SCHEDULE,
        tmp_path / "r.html",
        samples=reported.samples(tmp_path / "judged"),
    )
    data = json.loads(Page(tmp_path / "r.html").inside["script"][0])
    assert (data["pictured"], data["pictures"]) == (True, None)


@pytest.mark.parametrize(("limit", "shown"), [(LIMIT, 16), (1_000_000, 16), (150_000, 0)])
def test_noise_of_64_prompts_at_seven_budgets_fits_whatever_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int, shown: int
) -> None:
    samples = noisy(tmp_path / "judged", 128)
    one = samples.samples[0]
    cached = tuple(one.cached[0].model_copy(update={"budget": b}) for b in range(3, 10))
    many = tuple(
        one.model_copy(update={"prompt": f"{reported.HOSTILE} {i}", "cached": cached})
        for i in range(64)
    )
    monkeypatch.setattr("meancache_plan.show.page.report_writing.LIMIT", limit)
    size = write_report(
        reported.SCHEDULE,
        tmp_path / "r.html",
        profile=reported.profile(),
        evaluation=reported.evaluation(),
        samples=samples.model_copy(update={"samples": many}),
    )
    assert size == (tmp_path / "r.html").stat().st_size < limit
    data = json.loads(Page(tmp_path / "r.html").inside["script"][0])
    assert data["pictured"]
    assert len(data["pictures"]["entries"] if data["pictures"] else ()) == shown
    assert data["pictures"] is None or data["pictures"]["prompts"] == 64


@pytest.mark.parametrize("side", SIDES)
def test_frames_of_a_video_shrink_each_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, side: int
) -> None:
    monkeypatch.setattr("meancache_plan.show.page.picture_data.SIDES", (side,))
    found = picture_data(reported.samples(tmp_path / "judged", frames=5), LIMIT)
    assert found is not None
    assert (found["width"], found["height"], found["frames"]) == (48, 64, 5)
    assert "5 frames of each video" in found["note"]
    entry = found["entries"][0]
    with Image.open(io.BytesIO(base64.b64decode(entry["full"]))) as picture:
        assert picture.size == (48, 64 * 5)
        greys = np.asarray(picture.convert("L")).reshape(5, -1).mean(axis=1)
    assert np.diff(greys) == pytest.approx(np.ones(4), abs=0.3 if side == SIDES[0] else 1.5)


@pytest.mark.parametrize("count", ["0", "5", "-1", "1000", "many"])
def test_a_strip_that_cannot_hold_its_frames_is_refused(tmp_path: Path, count: str) -> None:
    samples = reported.samples(tmp_path / "judged")
    info = PngInfo()
    info.add_text(COUNT, count)
    file = tmp_path / "judged" / samples.samples[0].full
    Image.new("RGB", (48, 64)).save(file, pnginfo=info)
    with pytest.raises(InputError, match=r"full\.png: not a readable PNG picture"):
        picture_data(samples, LIMIT)
