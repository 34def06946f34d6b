"""Which release of diffusers first exports each pipeline, and what an older one lacks."""

from __future__ import annotations

import diffusers
import pytest

from tests.families.case import Case, Refusal

DIFFUSERS = "0.42.1"
"""The version that every row was tested with."""

OLDEST = "0.36"
"""The oldest that is promised, with which `make test-oldest` runs."""

CAME_WITH = {
    "0.36": """
        AuraFlowPipeline BriaFiboPipeline BriaPipeline ChromaImg2ImgPipeline ChromaPipeline
        ChronoEditPipeline CogView4ControlPipeline CogView4Pipeline Cosmos2TextToImagePipeline
        Cosmos2VideoToWorldPipeline CosmosTextToWorldPipeline CosmosVideoToWorldPipeline
        EasyAnimateControlPipeline EasyAnimateInpaintPipeline EasyAnimatePipeline Flux2Pipeline
        FluxControlImg2ImgPipeline FluxControlInpaintPipeline FluxControlNetImg2ImgPipeline
        FluxControlNetInpaintPipeline FluxControlNetPipeline FluxControlPipeline FluxFillPipeline
        FluxImg2ImgPipeline FluxInpaintPipeline FluxKontextInpaintPipeline FluxKontextPipeline
        FluxPipeline HiDreamImagePipeline HunyuanImagePipeline HunyuanImageRefinerPipeline
        HunyuanSkyreelsImageToVideoPipeline HunyuanVideo15ImageToVideoPipeline
        HunyuanVideo15Pipeline HunyuanVideoFramepackPipeline HunyuanVideoImageToVideoPipeline
        HunyuanVideoPipeline Kandinsky5I2IPipeline Kandinsky5I2VPipeline Kandinsky5T2IPipeline
        Kandinsky5T2VPipeline LTXConditionPipeline LTXImageToVideoPipeline LTXPipeline
        LucyEditPipeline Lumina2Pipeline LuminaPipeline MochiPipeline OmniGenPipeline
        OvisImagePipeline PRXPipeline PixArtSigmaPipeline QwenImageControlNetInpaintPipeline
        QwenImageControlNetPipeline QwenImageEditInpaintPipeline QwenImageEditPipeline
        QwenImageEditPlusPipeline QwenImageImg2ImgPipeline QwenImageInpaintPipeline
        QwenImagePipeline SanaControlNetPipeline SanaImageToVideoPipeline SanaPAGPipeline
        SanaPipeline SanaSprintImg2ImgPipeline SanaSprintPipeline SanaVideoPipeline
        SkyReelsV2DiffusionForcingImageToVideoPipeline SkyReelsV2DiffusionForcingPipeline
        SkyReelsV2DiffusionForcingVideoToVideoPipeline SkyReelsV2ImageToVideoPipeline
        SkyReelsV2Pipeline StableDiffusion3ControlNetInpaintingPipeline
        StableDiffusion3ControlNetPipeline StableDiffusion3Img2ImgPipeline
        StableDiffusion3InpaintPipeline StableDiffusion3PAGImg2ImgPipeline
        StableDiffusion3PAGPipeline StableDiffusion3Pipeline StableDiffusionPipeline
        StableDiffusionXLPipeline VisualClozeGenerationPipeline VisualClozePipeline
        WanAnimatePipeline WanImageToVideoPipeline WanPipeline WanVACEPipeline
        WanVideoToVideoPipeline ZImageImg2ImgPipeline ZImagePipeline
        """,
    "0.37": """
        BriaFiboEditPipeline ChromaInpaintPipeline Cosmos2_5_PredictBasePipeline
        Cosmos2_5_TransferPipeline Flux2KleinBaseModularPipeline Flux2KleinModularPipeline
        Flux2KleinPipeline Flux2ModularPipeline GlmImagePipeline HeliosPipeline
        HeliosPyramidPipeline LTX2ConditionPipeline LTX2ImageToVideoPipeline
        LTX2LatentUpsamplePipeline LTX2Pipeline LTXI2VLongMultiPromptPipeline
        LongCatImageEditPipeline LongCatImagePipeline QwenImageLayeredModularPipeline
        QwenImageLayeredPipeline Wan22Image2VideoModularPipeline Wan22ModularPipeline
        WanImage2VideoModularPipeline ZImageControlNetInpaintPipeline ZImageControlNetPipeline
        ZImageInpaintPipeline ZImageModularPipeline ZImageOmniPipeline
        """,
    "0.38": """
        AceStepPipeline ErnieImageModularPipeline ErnieImagePipeline Flux2KleinInpaintPipeline
        Flux2KleinKVPipeline HeliosModularPipeline HeliosPyramidDistilledModularPipeline
        HeliosPyramidModularPipeline HunyuanVideo15ModularPipeline LLaDA2Pipeline LTXModularPipeline
        LongCatAudioDiTPipeline NucleusMoEImagePipeline
        """,
    "0.39": """
        AnimaModularPipeline AnyFlowFARPipeline AnyFlowPipeline AutoPipelineForText2Audio
        Cosmos3OmniPipeline DiffusionGemmaPipeline DreamLiteMobilePipeline DreamLitePipeline
        Ideogram4ModularPipeline Ideogram4Pipeline JoyImageEditPipeline Krea2Pipeline
        LTX2HDRPipeline LTX2InContextPipeline MotifVideoImage2VideoPipeline MotifVideoPipeline
        PRXPixelPipeline StableDiffusion3ModularPipeline
        """,
    "0.40": """
        Cosmos3DistilledModularPipeline Cosmos3OmniModularPipeline JoyImageEditPlusPipeline
        Krea2ModularPipeline Krea2TurboModularPipeline LTX25ModularPipeline LTX2ModularPipeline
        LTX2VideoDiffusionDecodePipeline MiniMaxH3ModularPipeline MiniMaxMusic3ModularPipeline
        StableAudio3AudioToAudioPipeline StableAudio3InpaintPipeline StableAudio3Pipeline
        WanAnimate2DistilledModularPipeline WanAnimate2ModularPipeline
        """,
    "0.41": """
        EchoModularPipeline LTX2DFRPipeline LTX2DFRTemporalRefinePipeline QwenImage21Pipeline
        Wan22VaceModularPipeline
        """,
    "0.42": """
        BriaFibo2Pipeline Flux3DistilledModularPipeline Flux3ModularPipeline Kandinsky6SRPipeline
        Kandinsky6TI2VAPipeline QwenImage21ModularPipeline QwenImage21TurboModularPipeline
        RFD4ProteinaPipeline SanaWMPipeline
        """,
}
"""A release, and the pipelines that it exports first; the oldest has older ones too.

Found by listing what each release exports; of those in the oldest, the ones that rows are of.
"""

INSTALLED = diffusers.__version__
OLD = f"diffusers {INSTALLED} is older than {DIFFUSERS}"
"""Why a test is skipped that is of the newer one alone."""


def first(cls: str) -> str:
    """The release that exports the class first; KeyError if none is known."""
    for release, names in CAME_WITH.items():
        if cls in names.split():
            return release
    raise KeyError(cls)


def since(row: Case | Refusal) -> str:
    """The first release that the row is true of."""
    return row.since or first(row.name.split(",")[0])


def lacks(release: str) -> bool:
    """Whether the installed diffusers is older than the release."""
    return numbers(INSTALLED) < numbers(release)


def is_old() -> bool:
    """Whether the installed diffusers is older than the one that every row was tested with."""
    return lacks(DIFFUSERS)


def later() -> frozenset[str]:
    """Classes that the installed diffusers is too old for."""
    return frozenset(
        n for release, names in CAME_WITH.items() if lacks(release) for n in names.split()
    )


def each(rows: tuple[Case, ...] | tuple[Refusal, ...]) -> pytest.MarkDecorator:
    """Runs a test with every row, as ``case``; those are skipped that diffusers is too old for."""
    return pytest.mark.parametrize("case", [_either(row) for row in rows])


def _either(row: Case | Refusal) -> object:
    return pytest.param(row, id=row.name, marks=came_with(since(row), row.name))


def came_with(release: str, name: str) -> pytest.MarkDecorator:
    """Skips a test of what is named with a diffusers that is too old for it."""
    reason = f"diffusers {INSTALLED} is too old for {name}: from {release} on"
    return pytest.mark.skipif(lacks(release), reason=reason)


def numbers(version: str) -> tuple[int, ...]:
    """Major and minor number: classes come with minor releases."""
    return tuple(map(int, version.split(".")[:2]))
