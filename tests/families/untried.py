"""Pipelines of diffusers that follow a flow and were read, not tried: what was found."""

from __future__ import annotations

from typing import NamedTuple


class Read(NamedTuple):
    """A pipeline that was read.

    Attributes:
        name: Its class.
        like: The tested class, or the refused one, that has its loop; empty if none has.
        note: What it has of its own.
    """

    name: str
    like: str
    note: str


READ = (
    Read(
        "BriaFibo2Pipeline",
        "QwenImagePipeline",
        "other embeddings from a noise level of 0.9 on, where pictures of text are given",
    ),
    Read("EasyAnimateControlPipeline", "EasyAnimatePipeline", "a control video beside the latents"),
    Read("EasyAnimateInpaintPipeline", "EasyAnimatePipeline", "a masked video beside the latents"),
    Read("Kandinsky6SRPipeline", "HunyuanVideoFramepackPipeline", "tiles in place of sections"),
    Read(
        "Kandinsky6TI2VAPipeline",
        "LTX2Pipeline",
        "guidance in two calls; its `PiflowScheduler`, of distilled models, is refused",
    ),
    Read(
        "LTX2DFRPipeline",
        "LTX2ConditionPipeline",
        "without guidance; `LTXEulerAncestralRFScheduler` is refused, as it adds fresh noise",
    ),
    Read(
        "LTX2DFRTemporalRefinePipeline",
        "",
        "its `LTXEulerAncestralRFScheduler` adds fresh noise, which `attach` refuses",
    ),
    Read("LTX2HDRPipeline", "LTX2ConditionPipeline", "the sound does not move: its velocity is 0"),
    Read(
        "LTXI2VLongMultiPromptPipeline",
        "HunyuanVideoFramepackPipeline",
        "windows in place of sections",
    ),
    Read(
        "LongCatImageEditPipeline",
        "LongCatImagePipeline",
        "the picture's tokens beside the latents",
    ),
    Read(
        "RFD4ProteinaPipeline",
        "",
        "it has two schedulers, neither called `scheduler`, and `attach` refuses it",
    ),
    Read("VisualClozeGenerationPipeline", "FluxFillPipeline", "a grid of pictures"),
    Read("CosmosVideoToWorldPipeline", "CosmosTextToWorldPipeline", "from a picture or a video"),
    Read(
        "SanaWMPipeline",
        "LTXConditionPipeline",
        "every token has a noise level of its own (`per_token_timesteps`)",
    ),
)

MODULAR = (
    (
        "tested with `MeanCacheScheduler` (`tests/living/test_modular.py`)",
        "FluxModularPipeline QwenImageModularPipeline",
    ),
    (
        "read: as the tested ones, their scheduler steps once an iteration, when guidance is done",
        """
        AnimaModularPipeline ErnieImageModularPipeline Flux2KleinBaseModularPipeline
        Flux2KleinModularPipeline Flux2ModularPipeline Flux3ModularPipeline
        FluxKontextModularPipeline HunyuanVideo15ModularPipeline Ideogram4ModularPipeline
        Krea2ModularPipeline LTXModularPipeline QwenImage21ModularPipeline
        QwenImageEditModularPipeline QwenImageEditPlusModularPipeline
        QwenImageLayeredModularPipeline StableDiffusion3ModularPipeline
        Wan22Image2VideoModularPipeline Wan22ModularPipeline Wan22VaceModularPipeline
        WanImage2VideoModularPipeline WanModularPipeline ZImageModularPipeline
        """,
    ),
    (
        "read: the same, and sound or actions are stepped by a copy of the scheduler",
        "Cosmos3OmniModularPipeline LTX25ModularPipeline LTX2ModularPipeline",
    ),
    (
        "read: they sample several windows one after another in one call, and set the steps again "
        "before each, with which `MeanCacheScheduler` starts anew",
        "MiniMaxMusic3ModularPipeline WanAnimate2ModularPipeline",
    ),
    (
        "read: distilled to a few steps, which leave little to gain",
        """
        Flux3DistilledModularPipeline Krea2TurboModularPipeline QwenImage21TurboModularPipeline
        WanAnimate2DistilledModularPipeline
        """,
    ),
    (
        "read: no plan can be followed, as every step adds fresh noise",
        """
        Cosmos3DistilledModularPipeline EchoModularPipeline HeliosPyramidDistilledModularPipeline
        """,
    ),
    (
        "read: no plan can be followed, as the scheduler is one of their own that `attach` refuses",
        "HeliosModularPipeline HeliosPyramidModularPipeline MiniMaxH3ModularPipeline",
    ),
)
"""What is known of modular pipelines, and the names of the classes of which it is."""
