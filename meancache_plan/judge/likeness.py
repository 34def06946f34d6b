"""How close a sample's pictures come to those of the full run."""

import importlib
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from meancache_plan.core.psnr import psnr
from meancache_plan.errors import InputError

Frames = npt.NDArray[np.float32]
"""Pictures [F, height, width, 3], 0 … 1; F = 1 for an image."""

PictureFigure = Callable[[Frames, Frames], float]
"""``figure(full, other)``: one figure of a sample; a video's is the mean over its frames."""

_SSIM_WINDOW = 11


def picture_psnr(full: Frames, other: Frames) -> float:
    """PSNR of pictures in dB, range 1; a video's error is averaged before the logarithm."""
    _check(full, other)
    return psnr(float(np.mean((full.astype(np.float64) - other) ** 2)), 1.0)


def ssim(full: Frames, other: Frames) -> float:
    """Structural similarity, Gaussian window of 11 pixels, range 1; 1 is identical.

    Raises:
        InputError: The sizes differ, or a side is shorter than the window.
    """
    _check(full, other)
    if min(full.shape[1:3]) < _SSIM_WINDOW:
        raise InputError(f"SSIM needs pictures of {_SSIM_WINDOW} × {_SSIM_WINDOW} pixels or more")
    from torchmetrics.functional.image import structural_similarity_index_measure

    pairs = zip(_channels_first(full), _channels_first(other), strict=True)
    figures = [structural_similarity_index_measure(b, a, data_range=1.0) for a, b in pairs]
    return float(torch.as_tensor(figures).mean())


def flip(full: Frames, other: Frames) -> float:
    """Mean FLIP error (LDR, sRGB, 67 pixels a degree), 0 … 1; 0 is identical.

    NVIDIA's model of what an observer notices when flipping between two pictures.
    """
    import flip_evaluator

    _check(full, other)
    pairs = zip(np.ascontiguousarray(full), np.ascontiguousarray(other), strict=True)
    errors = [flip_evaluator.evaluate(a, b, "LDR", applyMagma=False)[1] for a, b in pairs]
    return float(np.mean(errors))


def flicker(full: Frames, other: Frames) -> float | None:
    """How differently a video changes from frame to frame: RMS, % of the range; 0 is identical.

    Of each pixel the change from one frame to the next, less the full video's: an error that stands
    still does not count. None for an image.
    """
    _check(full, other)
    if len(full) == 1:
        return None
    return 100 * float(np.sqrt(np.mean(np.diff(other.astype(np.float64) - full, axis=0) ** 2)))


@cache
def load_lpips() -> Any:
    """The network of LPIPS (AlexNet). Needs the ``lpips`` extra and downloaded weights.

    Raises:
        InputError: One of these is missing; the message says how to get it.
    """
    try:
        return importlib.import_module("lpips").LPIPS(net="alex", verbose=False).eval()
    except (ImportError, OSError, RuntimeError) as error:
        reason = str(error) or type(error).__name__
        raise InputError(
            f"LPIPS is not available ({reason}): it needs `pip install 'meancache-plan[lpips]'` "
            "and, once, a network connection to download AlexNet's weights"
        ) from error


def lpips(full: Frames, other: Frames) -> float:
    """LPIPS (AlexNet), ≥ 0; 0 is identical.

    Raises:
        InputError: LPIPS is not available; see :func:`load_lpips`.
    """
    network = load_lpips()
    _check(full, other)
    pairs = zip(_channels_first(full), _channels_first(other), strict=True)
    with torch.no_grad():
        figures = [network(a.float(), b.float(), normalize=True).item() for a, b in pairs]
    return float(np.mean(figures))


def _check(full: Frames, other: Frames) -> None:
    if full.shape != other.shape or full.ndim != 4 or full.shape[-1] != 3:
        raise InputError(
            f"frames of shape {list(other.shape)} cannot be compared with {list(full.shape)}: "
            "both must be [F, height, width, 3]"
        )


def _channels_first(frames: Frames) -> list[Tensor]:
    """Each frame as [1, 3, height, width], float64."""
    return [torch.from_numpy(frame).double().permute(2, 0, 1)[None] for frame in frames]
