"""VisualCloze: a grid of pictures of which some are painted, and then all of them enlarged."""

from __future__ import annotations

from typing import Any

from diffusers import VisualClozeGenerationPipeline, VisualClozePipeline

from tests.families.case import Case, Refusal, seeded
from tests.families.flux import LATENT, MASK
from tests.families.pictures import picture, resized
from tests.families.text_to_image import quiet
from tests.tiny import SIDE, TEXT_LENGTH, tiny_flux

FAMILY = "VisualCloze"


def _built(cls: type[Any]) -> Any:
    parts = tiny_flux().components
    for name in ("image_encoder", "feature_extractor"):
        del parts[name]
    sizes = {"in_channels": 2 * LATENT + MASK, "out_channels": LATENT}
    parts["transformer"] = resized(parts["transformer"], **sizes)
    return quiet(cls(**parts, resolution=SIDE))


def _call(steps: int) -> dict[str, Any]:
    """An example, a picture and its like; and another picture, whose like is to be painted."""
    return {
        "task_prompt": "a hat",
        "content_prompt": "a cat",
        "image": [[picture(SIDE), picture(SIDE)], [picture(SIDE), None]],
        "num_inference_steps": steps,
        "max_sequence_length": TEXT_LENGTH,
        "output_type": "latent",
    }


CASES = (
    Case(
        "VisualClozeGenerationPipeline",
        lambda: seeded(lambda: _built(VisualClozeGenerationPipeline)),
        _call,
        FAMILY,
        note="the first of VisualCloze's two pipelines",
    ).brief(),
)
REFUSALS = (
    Refusal(
        "VisualClozePipeline",
        lambda: seeded(lambda: _built(VisualClozePipeline)),
        _call,
        FAMILY,
        error="UnsupportedPipelineError",
        match=r"attach to pipe\.generation_pipe, pipe\.upsampling_pipe",
        reason="it samples through two pipelines of its own, which the refusal names",
        steps=4,
    ),
)
