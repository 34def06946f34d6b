"""How much memory a denoising loop takes beyond what was there when it began."""

from typing import Protocol

import torch


class Account(Protocol):
    """Of the memory that is in use on a device."""

    def begin(self) -> None:
        """Count from here on."""

    def peak(self) -> int:
        """The most bytes in use at once since then, beyond what was in use at :meth:`begin`."""
        ...


class Allocator:
    """The account that CUDA's caching allocator keeps."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._before = 0

    def begin(self) -> None:
        """Count from here on."""
        torch.cuda.reset_peak_memory_stats(self._device)
        self._before = torch.cuda.memory_allocated(self._device)

    def peak(self) -> int:
        """The most bytes allocated at once since then, beyond those of before."""
        return torch.cuda.max_memory_allocated(self._device) - self._before
