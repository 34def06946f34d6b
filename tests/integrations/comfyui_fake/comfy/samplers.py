"""Samplers, and the guiders that they ask for a denoised picture."""

from collections.abc import Callable
from typing import Any

Tensor = Any


class KSAMPLER:
    """A sampler function as what is called SAMPLER in a graph."""

    def __init__(
        self,
        sampler_function: Callable[..., Tensor],
        extra_options: dict[str, Any] | None = None,
        inpaint_options: dict[str, Any] | None = None,
    ) -> None:
        self.sampler_function = sampler_function
        self.extra_options = extra_options or {}
        self.inpaint_options = inpaint_options or {}

    def sample(
        self,
        model_wrap: Any,
        sigmas: Tensor,
        extra_args: dict[str, Any],
        callback: Callable[..., None] | None,
        noise: Tensor,
        latent_image: Tensor,
        denoise_mask: Tensor | None = None,
        disable_pbar: bool = False,
    ) -> Tensor:
        sampling = model_wrap.inner_model.model_sampling
        masked = KSamplerX0Inpaint(model_wrap, noise, latent_image)
        steps = len(sigmas) - 1
        x = self.sampler_function(
            masked,
            sampling.noise_scaling(sigmas[0], noise, latent_image),
            sigmas,
            extra_args={**extra_args, "denoise_mask": denoise_mask},
            callback=callback and (lambda d: callback(d["i"], d["denoised"], d["x"], steps)),
            disable=disable_pbar,
            **self.extra_options,
        )
        return sampling.inverse_noise_scaling(sigmas[-1], x)


class KSamplerX0Inpaint:
    """What sampler functions get as ``model``: it puts back what a mask keeps."""

    def __init__(self, model: Any, noise: Tensor, latent_image: Tensor) -> None:
        self.inner_model = model
        self.noise = noise
        self.latent_image = latent_image

    def __call__(
        self,
        x: Tensor,
        sigma: Tensor,
        denoise_mask: Tensor | None,
        model_options: dict[str, Any],
        seed: int | None = None,
    ) -> Tensor:
        if denoise_mask is None:
            return self.inner_model(x, sigma, model_options, seed)
        sampling = self.inner_model.inner_model.model_sampling
        level = sigma.view(-1, *[1] * (x.ndim - 1))
        kept = sampling.noise_scaling(level, self.noise, self.latent_image)
        x = x * denoise_mask + kept * (1 - denoise_mask)
        out = self.inner_model(x, sigma, model_options, seed)
        return out * denoise_mask + self.latent_image * (1 - denoise_mask)


class CFGGuider:
    """Classifier-free guidance over a model's denoised pictures."""

    def __init__(self, model_patcher: Any) -> None:
        self.inner_model = model_patcher.model
        self.model_options = model_patcher.model_options
        self.set_cfg(1.0)

    def set_conds(self, positive: Any, negative: Any) -> None:
        self.conds = {"positive": positive, "negative": negative}

    def set_cfg(self, cfg: float) -> None:
        self.cfg = cfg

    def __call__(
        self, x: Tensor, timestep: Tensor, model_options: dict[str, Any], seed: int | None = None
    ) -> Tensor:
        wanted = self.inner_model.apply_model(x, timestep, self.conds["positive"])
        if self.cfg == 1:
            return wanted
        other = self.inner_model.apply_model(x, timestep, self.conds["negative"])
        return other + (wanted - other) * self.cfg

    def sample(
        self,
        noise: Tensor,
        latent_image: Tensor,
        sampler: KSAMPLER,
        sigmas: Tensor,
        denoise_mask: Tensor | None = None,
        callback: Callable[..., None] | None = None,
        disable_pbar: bool = True,
        seed: int | None = None,
    ) -> Tensor:
        extra_args = {"model_options": self.model_options, "seed": seed}
        return sampler.sample(
            self, sigmas, extra_args, callback, noise, latent_image, denoise_mask, disable_pbar
        )
