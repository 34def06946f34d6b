"""The closed-form flow of handwritten digits: a guided, class-conditional model without a network.

Data are drawn from a Gaussian mixture centred on images, one component an image. Its velocity is
exact (``z = (1 − σ)·x₀ + σ·noise``, ``v = E[noise − x₀ | z]``), and classifier-free guidance goes
from the mixture of all images towards that of one class.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, NamedTuple

import torch
from torch import Tensor

from meancache_plan.core.grid import shifted_sigmas
from meancache_plan.core.trajectory import Trajectory, Velocity, record_flow
from meancache_plan.schedule.artifact import Generation, ModelIdentity

VALUE_RANGE = 2.0
"""Of the images, −1 … 1: what PSNR refers to."""


@dataclass
class DigitFlow:
    """Guided velocities of the mixture.

    Attributes:
        images: The components' centres, float64 [M, D].
        labels: Their classes, int64 [M].
        deviation: Standard deviation of every component.
        guidance: g of ``v = v_all + g·(v_class − v_all)``.
        refreshes: Velocities computed so far, counted by sample.
    """

    images: Tensor
    labels: Tensor
    deviation: float = 0.15
    guidance: float = 4.0
    refreshes: int = field(default=0, init=False)

    @classmethod
    def of_digits(cls) -> "DigitFlow":
        """Of scikit-learn's 1797 digits of 8 × 8 pixels."""
        found: Any = import_module("sklearn.datasets").load_digits()
        return cls(torch.from_numpy(found.data / 8 - 1), torch.from_numpy(found.target))

    @classmethod
    def of_noise(cls) -> "DigitFlow":
        """Of twelve random images of 4 × 4 pixels in three classes: to try code in seconds."""
        generator = torch.Generator().manual_seed(0)
        images = 2 * torch.rand(12, 16, generator=generator, dtype=torch.float64) - 1
        return cls(images, torch.arange(12) % 3)

    def velocity(self, classes: Tensor) -> Velocity:
        """Velocities [n, D] of samples of these classes, int64 [n].

        Given its component μ, v is linear in z and μ, so only the mean of μ over its posterior,
        a softmax over −‖z − (1 − σ)·μ‖² / (2·variance), is needed.
        """
        others = torch.zeros(len(classes), len(self.labels), dtype=self.images.dtype)
        others[self.labels != classes[:, None]] = -torch.inf
        squares = self.images.square().sum(1)

        def velocity(z: Tensor, sigma: float) -> Tensor:
            self.refreshes += len(z)
            clean = 1 - sigma
            variance = clean**2 * self.deviation**2 + sigma**2
            logits = (clean * z @ self.images.T - clean**2 * squares / 2) / variance
            anything, own = (
                torch.softmax(each, dim=1) @ self.images for each in (logits, logits + others)
            )
            mean = anything + self.guidance * (own - anything)
            off = z - clean * mean
            return (sigma - clean * self.deviation**2) / variance * off - mean

        return velocity


class Draw(NamedTuple):
    """A sample's class, int64 [1], and noise, float64 [1, D]."""

    label: Tensor
    noise: Tensor


@dataclass
class DigitSource:
    """The flow as calibration records it; a prompt is a number, whatever it stands for."""

    flow: DigitFlow
    steps: int = 50
    shift: float = 3.0

    def grid(self, steps: int) -> tuple[float, ...]:
        """Noise levels of a run of so many steps."""
        return shifted_sigmas(steps, self.shift)

    def draw(self, prompt: str, seed: int) -> Draw:
        """The class and the noise of a sample: random, and always the same."""
        generator = torch.Generator().manual_seed(1_000_000 * seed + int(prompt))
        label = torch.randint(int(self.flow.labels.max()) + 1, (1,), generator=generator)
        width = self.flow.images.shape[1]
        return Draw(label, torch.randn(1, width, generator=generator, dtype=torch.float64))

    def identity(self) -> ModelIdentity:
        """A name; there are no weights."""
        return ModelIdentity(
            id="digits",
            revision=None,
            fingerprint=None,
            pipeline=None,
            scheduler=None,
            adapters=(),
        )

    def generation(self) -> Generation:
        """The guidance; there is no picture size."""
        guidance = {"guidance": self.flow.guidance}
        return Generation(height=None, width=None, frames=None, guidance=guidance, dtype="float64")

    def scheduler_config(self) -> dict[str, Any]:
        """What fixes the grid."""
        return {"shift": self.shift, "steps": self.steps}

    def call_arguments(self) -> dict[str, Any]:
        """What else fixes a sample."""
        return {"deviation": self.flow.deviation, "images": float(self.flow.images.sum())}

    def num_inference_steps(self) -> int:
        """All of them."""
        return self.steps

    def versions(self) -> dict[str, str]:
        """Of torch alone."""
        return {"torch": torch.__version__}

    def record(
        self, prompt: str, seed: int, *, finer_steps: int | None = None
    ) -> tuple[Trajectory, float]:
        """All steps of one sample, and the mean seconds of a step."""
        label, noise = self.draw(prompt, seed)
        begin = time.perf_counter()
        trajectory = record_flow(self.flow.velocity(label), noise, self.grid(self.steps))
        return trajectory, (time.perf_counter() - begin) / self.steps

    def record_batch(
        self, prompts: Sequence[str], seeds: Sequence[int], *, finer_steps: int | None = None
    ) -> tuple[list[Trajectory], float]:
        """One after the other."""
        found = [self.record(*each) for each in zip(prompts, seeds, strict=True)]
        return [trajectory for trajectory, _ in found], found[0][1]

    def resume(self, prompt: str, seed: int, step: int, latents: Tensor) -> Trajectory:
        """The steps from ``step`` on, from other latents."""
        velocity = self.flow.velocity(self.draw(prompt, seed).label)
        return record_flow(velocity, latents, self.grid(self.steps)[step:])
