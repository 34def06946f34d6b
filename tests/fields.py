"""Velocity fields with closed forms, and trajectories along them: the tests' oracles.

Rectified flow: z = (1 − σ)·x₀ + σ·noise, v(z, σ) = E[noise − x₀ | z].
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from meancache_plan.core.deviation import windows
from meancache_plan.core.psnr import moments
from meancache_plan.measure.profile import Profile, ProfileSettings, measure

Field = Callable[[Tensor, float], Tensor]


def uniform_grid(steps: int) -> tuple[float, ...]:
    """σᵢ = 1 − i/T."""
    return tuple(1 - i / steps for i in range(steps + 1))


def shifted_grid(steps: int, shift: float = 3.0) -> tuple[float, ...]:
    """The grid of flow-matching pipelines: σ = shift·t / (1 + (shift − 1)·t)."""
    return tuple(shift * t / (1 + (shift - 1) * t) for t in uniform_grid(steps))


def gaussian_mixture(means: Tensor, deviation: float) -> Field:
    """The exact velocity if x₀ is drawn from N(μ_k, deviation²·I), each k alike.

    Given k, z is normal with mean (1 − σ)·μ_k and variance (1 − σ)²·deviation² + σ², so the
    conditional means of x₀ and of the noise are linear in z; k itself has a softmax posterior.
    """

    def velocity(z: Tensor, sigma: float) -> Tensor:
        variance = (1 - sigma) ** 2 * deviation**2 + sigma**2
        off = z[..., None, :] - (1 - sigma) * means
        noise = sigma / variance * off
        clean = means + (1 - sigma) * deviation**2 / variance * off
        posterior = torch.softmax(-off.square().sum(-1) / (2 * variance), dim=-1)
        return (posterior[..., None] * (noise - clean)).sum(-2)

    return velocity


def polynomial(coefficients: Tensor) -> Field:
    """v = Σ_p coefficients[p]·σ^p, wherever z is."""
    powers = torch.arange(len(coefficients), dtype=torch.float64)
    return lambda z, sigma: (coefficients * (sigma**powers)[:, None]).sum(0).expand_as(z)


def linear(rates: Tensor) -> Field:
    """v = rates·z, at every σ: an error is carried on as z itself is."""
    return lambda z, sigma: rates * z


def mixture(seed: int = 0, numel: int = 16) -> Field:
    """A mixture of four Gaussians at random places, float64."""
    generator = torch.Generator().manual_seed(seed)
    return gaussian_mixture(torch.randn(4, numel, generator=generator).double(), 0.3)


def euler(field: Field, noise: Tensor, sigmas: Sequence[float]) -> tuple[Tensor, Tensor]:
    """Step along the field; return latents [T + 1, ...] and velocities [T, ...]."""
    latents, velocities = [noise], []
    for sigma, following in pairwise(sigmas):
        velocities.append(field(latents[-1], sigma))
        latents.append(latents[-1] + (following - sigma) * velocities[-1])
    return torch.stack(latents), torch.stack(velocities)


def noise(samples: int, numel: int = 16, seed: int = 1) -> Tensor:
    """Initial latents, float64 [samples, numel]."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(samples, numel, generator=generator, dtype=torch.float64)


def profile_of(
    velocities: Sequence[Tensor],
    sigmas: tuple[float, ...],
    max_edge: int | None = None,
    max_window: int = 6,
    ends: Sequence[Tensor] | None = None,
) -> Profile:
    """A profile of trajectories, each given by its velocities [T, ...].

    ``ends`` are their final latents; by default these are of mean 0 and variance 1.
    """
    steps = len(sigmas) - 1
    index = windows(steps, max_edge or steps, max_window)
    measured = [measure(sample, sigmas, index) for sample in velocities]
    settings = ProfileSettings(
        sigmas=sigmas,
        dtype="float64",
        latent_shape=tuple(velocities[0].shape[1:]),
        max_edge=index.max_edge,
        max_window=max_window,
        samples_total=len(measured),
        versions={"torch": torch.__version__},
    )
    numbers = np.arange(len(measured))
    return Profile(
        settings=settings,
        sample_index=numbers,
        prompt_index=numbers // 2,
        seeds=numbers % 2,
        grams=np.stack([sample.gram for sample in measured]),
        l1=np.stack([sample.l1 for sample in measured]),
        seconds=np.full(len(measured), 0.125),
        moments=np.array([moments(z) for z in ends] if ends else [(0.0, 1.0)] * len(measured)),
    )


def mixture_profile(steps: int, samples: int = 3, max_edge: int | None = None) -> Profile:
    """A profile of the mixture's flow on the shifted grid."""
    sigmas = shifted_grid(steps)
    runs = [euler(mixture(), z, sigmas) for z in noise(samples)]
    ends = [latents[-1] for latents, _ in runs]
    return profile_of([velocities for _, velocities in runs], sigmas, max_edge, ends=ends)


def grown(sigmas: tuple[float, ...], rates: Tensor, step: int) -> Tensor:
    """Π (1 + Δσ·rate) over the steps from ``step`` on: Euler's own growth of an error."""
    total = torch.ones_like(rates)
    for sigma, following in pairwise(sigmas[step:]):
        total = total * (1 + (following - sigma) * rates)
    return total
