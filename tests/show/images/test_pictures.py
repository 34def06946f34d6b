"""Samples as PNG files: what is drawn where."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from meancache_plan.errors import InputError
from meancache_plan.show.images.sample_images import (
    check_output,
    contact_sheet,
    save_frames,
    side_by_side,
)
from tests.show.drawn import opened, shots


def test_side_by_side_shows_full_cached_and_the_amplified_difference(tmp_path: Path) -> None:
    full = np.full((1, 64, 64, 3), 0.5, np.float32)
    cached = full.copy()
    cached[:, :, 32:] = 0.6
    side_by_side(full, cached, ("full", "plan"), tmp_path / "pair.png")
    pixels = opened(tmp_path / "pair.png")
    height, width = pixels.shape[:2]
    middle = pixels[height - 100]
    assert tuple(middle[100]) == (128, 128, 128)
    assert tuple(middle[width // 2 + 100]) == (153, 153, 153)
    assert tuple(middle[-300]) == (0, 0, 0)
    assert middle[-50][0] == 128  # 0.1, five times


def test_side_by_side_of_a_video_shows_three_frames(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    video = rng.random((9, 32, 48, 3), dtype=np.float32)
    side_by_side(video, video, ("full", "plan"), tmp_path / "video.png")
    side_by_side(video[:1], video[:1], ("full", "plan"), tmp_path / "image.png")
    tall, short = opened(tmp_path / "video.png"), opened(tmp_path / "image.png")
    assert len(tall) > 2.5 * (len(short) - 40)


def test_side_by_side_refuses_pictures_of_two_sizes(tmp_path: Path) -> None:
    a, b = np.zeros((1, 8, 8, 3), np.float32), np.zeros((1, 8, 9, 3), np.float32)
    with pytest.raises(InputError, match="not comparable"):
        side_by_side(a, b, ("full", "plan"), tmp_path / "x.png")


def test_contact_sheet_has_a_row_a_prompt_and_a_column_a_method(tmp_path: Path) -> None:
    contact_sheet(shots(), tmp_path / "sheet.png")
    height, width = opened(tmp_path / "sheet.png").shape[:2]
    assert height > 2 * 192
    assert width > 3 * 192


def test_contact_sheet_of_no_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no pictures were kept"):
        contact_sheet((), tmp_path / "sheet.png")


def test_an_image_is_saved_at_its_true_size_and_values(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).random((1, 16, 24, 3), dtype=np.float32)
    save_frames(frames, tmp_path / "image.png")
    assert np.abs(opened(tmp_path / "image.png") / 255 - frames[0]).max() <= 0.5 / 255 + 1e-6


def test_pictures_go_to_png_files_in_directories_that_exist(tmp_path: Path) -> None:
    assert check_output(tmp_path / "a.PNG") == tmp_path / "a.PNG"
    with pytest.raises(InputError, match=r"ends in \.png"):
        check_output(tmp_path / "a.jpg")
    with pytest.raises(InputError, match="does not exist"):
        check_output(tmp_path / "none" / "a.png")
