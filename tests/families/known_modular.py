"""Modular pipelines of diffusers: which were tested, and what was read of the others."""

from __future__ import annotations

KNOWN: tuple[tuple[str, str], ...] = (
    (
        "tested with `MeanCacheScheduler` (`tests/living/test_modular.py`, "
        "`tests/living/test_modular_families.py`)",
        """
        FluxModularPipeline LTXModularPipeline QwenImageModularPipeline
        StableDiffusion3ModularPipeline ZImageModularPipeline
        """,
    ),
    (
        "read: as the tested ones, their scheduler steps once an iteration, when guidance is done",
        """
        AnimaModularPipeline ErnieImageModularPipeline Flux2KleinBaseModularPipeline
        Flux2KleinModularPipeline Flux2ModularPipeline Flux3ModularPipeline
        FluxKontextModularPipeline HunyuanVideo15ModularPipeline Ideogram4ModularPipeline
        Krea2ModularPipeline QwenImage21ModularPipeline QwenImageEditModularPipeline
        QwenImageEditPlusModularPipeline QwenImageLayeredModularPipeline
        Wan22Image2VideoModularPipeline Wan22ModularPipeline Wan22VaceModularPipeline
        WanImage2VideoModularPipeline WanModularPipeline
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
