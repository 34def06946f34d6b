"""Figures of quality against figures worked out by hand or by another library."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
import torch
from torchmetrics.functional.image import peak_signal_noise_ratio

from meancache_plan.core.bootstrap import bootstrap_interval
from meancache_plan.core.psnr import CEILING, latent_range, mean_square, moments, psnr
from meancache_plan.errors import InputError
from meancache_plan.judge import likeness


def pictures(seed: int, frames: int = 1, side: int = 64) -> likeness.Frames:
    return np.random.default_rng(seed).random((frames, side, side, 3), dtype=np.float32)


def test_psnr_of_an_error_of_a_tenth_of_the_range_is_20_db() -> None:
    assert psnr(error=0.5**2 * 0.01, value_range=0.5) == pytest.approx(20.0)


def test_picture_psnr_agrees_with_torchmetrics() -> None:
    a, b = pictures(0), pictures(1)
    expected = peak_signal_noise_ratio(torch.tensor(b), torch.tensor(a), data_range=1.0)
    assert likeness.picture_psnr(a, b) == pytest.approx(float(expected), rel=1e-5)


def test_identical_samples_get_the_finite_ceiling() -> None:
    assert psnr(0.0, 1.0) == likeness.picture_psnr(pictures(0), pictures(0)) == CEILING


def test_psnr_never_exceeds_the_ceiling_and_meets_it_continuously() -> None:
    assert psnr(1e-13, 1.0) == CEILING
    assert psnr(1.0001e-12, 1.0) == pytest.approx(CEILING, abs=1e-3)


@pytest.mark.parametrize(("error", "value_range"), [(math.nan, 1), (math.inf, 1), (1, 0), (-1, 1)])
def test_psnr_refuses_what_has_no_finite_answer(error: float, value_range: float) -> None:
    with pytest.raises(InputError, match="no PSNR"):
        psnr(error, value_range)


def test_latent_range_is_four_standard_deviations_of_all_elements_together() -> None:
    samples = [torch.randn(1, 7, 5) + shift for shift in (-2.0, 0.0, 3.0)]
    expected = 4 * torch.cat([s.flatten() for s in samples]).double().std(correction=0)
    found = latent_range([moments(sample) for sample in samples])
    assert found == pytest.approx(float(expected), rel=1e-9)


def test_mean_square_refuses_latents_of_another_shape() -> None:
    with pytest.raises(InputError, match="the same size"):
        mean_square(torch.zeros(1, 4), torch.zeros(1, 5))


@pytest.mark.parametrize("side", [16, 64])
def test_identical_pictures_have_ssim_1_and_flip_0(side: int) -> None:
    a = pictures(0, side=side)
    assert likeness.ssim(a, a.copy()) == pytest.approx(1.0, abs=1e-9)
    assert likeness.flip(a, a.copy()) == 0.0


def test_ssim_of_two_flat_pictures_is_the_luminance_term() -> None:
    dark, light = np.full((1, 16, 16, 3), 0.2, np.float32), np.full((1, 16, 16, 3), 0.6, np.float32)
    c1 = 0.01**2
    expected = (2 * 0.2 * 0.6 + c1) / (0.2**2 + 0.6**2 + c1)
    assert likeness.ssim(dark, light) == pytest.approx(expected, rel=1e-5)


def test_flip_of_black_and_white_is_nearly_its_maximum() -> None:
    black, white = np.zeros((1, 32, 32, 3), np.float32), np.ones((1, 32, 32, 3), np.float32)
    assert 0.9 < likeness.flip(black, white) <= 1.0


@pytest.mark.parametrize("figure", [likeness.ssim, likeness.flip])
def test_a_video_s_figure_is_the_mean_over_its_frames(figure: likeness.PictureFigure) -> None:
    a, b = pictures(0, frames=3, side=16), pictures(1, frames=3, side=16)
    each = [figure(a[i : i + 1], b[i : i + 1]) for i in range(3)]
    assert figure(a, b) == pytest.approx(np.mean(each))


def test_flicker_counts_changes_from_frame_to_frame_and_no_error_that_stands_still() -> None:
    full = pictures(0, frames=3)
    assert likeness.flicker(full, full + np.float32(0.1)) == pytest.approx(0.0, abs=1e-4)
    trembling = full + np.array([0.0, 0.1, 0.0], dtype=np.float32)[:, None, None, None]
    assert likeness.flicker(full, trembling) == pytest.approx(10, rel=1e-5)
    assert likeness.flicker(full[:1], trembling[:1]) is None


@pytest.mark.parametrize(
    "figure", [likeness.picture_psnr, likeness.ssim, likeness.flip, likeness.flicker]
)
def test_pictures_of_different_sizes_are_refused(figure: likeness.PictureFigure) -> None:
    with pytest.raises(InputError, match="cannot be compared"):
        figure(pictures(0, side=16), pictures(0, side=32))


def test_ssim_names_the_smallest_picture_it_takes() -> None:
    with pytest.raises(InputError, match="11 × 11"):
        likeness.ssim(pictures(0, side=8), pictures(1, side=8))


def test_lpips_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lpips", None)
    with pytest.raises(InputError, match=r"meancache-plan\[lpips\].*download"):
        likeness.load_lpips()


def test_bootstrap_interval_agrees_with_the_normal_one_for_many_values() -> None:
    values = np.random.default_rng(3).normal(30.0, 2.0, size=400)
    low, high = bootstrap_interval(values.tolist())
    half = 1.96 * values.std(ddof=1) / 20
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.03)


def test_bootstrap_intervals_of_95_percent_cover_the_true_mean_about_that_often() -> None:
    draws = np.random.default_rng(4).normal(0.0, 1.0, size=(60, 40))
    bounds = [bootstrap_interval(row.tolist()) for row in draws]
    assert sum(low <= 0.0 <= high for low, high in bounds) >= 52


def test_bootstrap_interval_is_the_same_every_time() -> None:
    values = [31.0, 28.5, 35.2, 30.1]
    assert bootstrap_interval(values) == bootstrap_interval(values)


@pytest.mark.parametrize("values", [[31.5], [120.0] * 5, [0.0, 0.0], [0.1 + 0.2, 0.3]])
def test_interval_of_one_value_or_of_equal_ones_is_the_mean(values: list[float]) -> None:
    assert bootstrap_interval(values) == (np.mean(values), np.mean(values))


def test_interval_of_two_values_lies_between_them() -> None:
    low, high = bootstrap_interval([1.0, 2.0])
    assert 1.0 <= low < high <= 2.0


def test_interval_of_no_values_is_refused() -> None:
    with pytest.raises(InputError, match="at least one sample"):
        bootstrap_interval([])
