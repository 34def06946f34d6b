"""How a model's output is read, and how noise levels become timesteps."""

from typing import Any

Tensor = Any


class CONST:
    """Flow models: the output is a velocity."""

    def calculate_input(self, sigma: Tensor, noise: Tensor) -> Tensor:
        return noise

    def calculate_denoised(self, sigma: Tensor, output: Tensor, x: Tensor) -> Tensor:
        return x - output * across(sigma, output)

    def noise_scaling(
        self, sigma: Tensor, noise: Tensor, latent_image: Tensor, max_denoise: bool = False
    ) -> Tensor:
        return sigma * noise + (1 - sigma) * latent_image

    def inverse_noise_scaling(self, sigma: Tensor, latent: Tensor) -> Tensor:
        return latent / (1 - sigma)


class EPS:
    """Noise-predicting models, whose rule for ``denoised`` reads alike."""

    calculate_denoised = CONST.calculate_denoised
    noise_scaling = CONST.noise_scaling


class IMG_TO_IMG_FLOW(CONST):
    """Flow by descent only: the output is the picture."""

    def calculate_denoised(self, sigma: Tensor, output: Tensor, x: Tensor) -> Tensor:
        return output


def across(sigma: Tensor, like: Tensor) -> Tensor:
    """One noise level a sample, in as many dimensions as the samples have."""
    return sigma.view(-1, *[1] * (like.ndim - 1))
