"""Pipelines of diffusers that no schedule is for, by the reason; they were read, not tried."""

from __future__ import annotations

REASONS: tuple[tuple[str, str], ...] = (
    (
        "they predict noise, or the sample, and not the velocity of a flow",
        """
        AllegroPipeline AltDiffusionImg2ImgPipeline AltDiffusionPipeline
        AnimateDiffControlNetPipeline AnimateDiffPAGPipeline AnimateDiffPipeline
        AnimateDiffSDXLPipeline AnimateDiffSparseControlNetPipeline
        AnimateDiffVideoToVideoControlNetPipeline AnimateDiffVideoToVideoPipeline
        AudioDiffusionPipeline AudioLDM2Pipeline AudioLDMPipeline
        BlipDiffusionControlNetPipeline BlipDiffusionPipeline CogVideoXFunControlPipeline
        CogVideoXImageToVideoPipeline CogVideoXPipeline CogVideoXVideoToVideoPipeline
        CogView3PlusPipeline ConsisIDPipeline CycleDiffusionPipeline DDIMPipeline DDPMPipeline
        DanceDiffusionPipeline DiTPipeline HunyuanDiTControlNetPipeline HunyuanDiTPAGPipeline
        HunyuanDiTPipeline I2VGenXLPipeline IFImg2ImgPipeline IFImg2ImgSuperResolutionPipeline
        IFInpaintingPipeline IFInpaintingSuperResolutionPipeline IFPipeline
        IFSuperResolutionPipeline Kandinsky3Img2ImgPipeline Kandinsky3Pipeline
        KandinskyCombinedPipeline KandinskyImg2ImgCombinedPipeline KandinskyImg2ImgPipeline
        KandinskyInpaintCombinedPipeline KandinskyInpaintPipeline KandinskyPipeline
        KandinskyPriorPipeline KandinskyV22CombinedPipeline
        KandinskyV22ControlnetImg2ImgPipeline KandinskyV22ControlnetPipeline
        KandinskyV22Img2ImgCombinedPipeline KandinskyV22Img2ImgPipeline
        KandinskyV22InpaintCombinedPipeline KandinskyV22InpaintPipeline KandinskyV22Pipeline
        KandinskyV22PriorEmb2EmbPipeline KandinskyV22PriorPipeline KarrasVePipeline
        KolorsImg2ImgPipeline KolorsPAGPipeline KolorsPipeline LDMPipeline
        LDMSuperResolutionPipeline LDMTextToImagePipeline LEditsPPPipelineStableDiffusion
        LEditsPPPipelineStableDiffusionXL LattePipeline MarigoldDepthPipeline
        MarigoldIntrinsicsPipeline MarigoldNormalsPipeline MusicLDMPipeline
        OnnxStableDiffusionImg2ImgPipeline OnnxStableDiffusionInpaintPipeline
        OnnxStableDiffusionInpaintPipelineLegacy OnnxStableDiffusionPipeline
        OnnxStableDiffusionUpscalePipeline PIAPipeline PNDMPipeline PaintByExamplePipeline
        PixArtAlphaPipeline PixArtSigmaPAGPipeline RePaintPipeline ScoreSdeVePipeline
        SemanticStableDiffusionPipeline ShapEImg2ImgPipeline ShapEPipeline
        SpectrogramDiffusionPipeline StableAudioPipeline StableCascadeCombinedPipeline
        StableCascadeDecoderPipeline StableCascadePriorPipeline StableDiffusionAdapterPipeline
        StableDiffusionAttendAndExcitePipeline StableDiffusionControlNetImg2ImgPipeline
        StableDiffusionControlNetInpaintPipeline StableDiffusionControlNetPAGInpaintPipeline
        StableDiffusionControlNetPAGPipeline StableDiffusionControlNetPipeline
        StableDiffusionControlNetXSPipeline StableDiffusionDepth2ImgPipeline
        StableDiffusionDiffEditPipeline StableDiffusionGLIGENPipeline
        StableDiffusionGLIGENTextImagePipeline StableDiffusionImageVariationPipeline
        StableDiffusionImg2ImgPipeline StableDiffusionInpaintPipeline
        StableDiffusionInpaintPipelineLegacy StableDiffusionInstructPix2PixPipeline
        StableDiffusionLDM3DPipeline StableDiffusionLatentUpscalePipeline
        StableDiffusionModelEditingPipeline StableDiffusionOnnxPipeline
        StableDiffusionPAGImg2ImgPipeline StableDiffusionPAGInpaintPipeline
        StableDiffusionPAGPipeline StableDiffusionPanoramaPipeline
        StableDiffusionParadigmsPipeline StableDiffusionPipelineSafe
        StableDiffusionPix2PixZeroPipeline StableDiffusionSAGPipeline
        StableDiffusionUpscalePipeline StableDiffusionXLAdapterPipeline
        StableDiffusionXLControlNetImg2ImgPipeline StableDiffusionXLControlNetInpaintPipeline
        StableDiffusionXLControlNetPAGImg2ImgPipeline StableDiffusionXLControlNetPAGPipeline
        StableDiffusionXLControlNetPipeline StableDiffusionXLControlNetUnionImg2ImgPipeline
        StableDiffusionXLControlNetUnionInpaintPipeline StableDiffusionXLControlNetUnionPipeline
        StableDiffusionXLControlNetXSPipeline StableDiffusionXLImg2ImgPipeline
        StableDiffusionXLInpaintPipeline StableDiffusionXLInstructPix2PixPipeline
        StableDiffusionXLModularPipeline StableDiffusionXLPAGImg2ImgPipeline
        StableDiffusionXLPAGInpaintPipeline StableDiffusionXLPAGPipeline
        StableUnCLIPImg2ImgPipeline StableUnCLIPPipeline StableVideoDiffusionPipeline
        TextToVideoSDPipeline TextToVideoZeroPipeline TextToVideoZeroSDXLPipeline
        UnCLIPImageVariationPipeline UnCLIPPipeline UniDiffuserPipeline
        VersatileDiffusionDualGuidedPipeline VersatileDiffusionImageVariationPipeline
        VersatileDiffusionPipeline VersatileDiffusionTextToImagePipeline VideoToVideoSDPipeline
        WuerstchenCombinedPipeline WuerstchenDecoderPipeline WuerstchenPriorPipeline
        """,
    ),
    (
        "they fill in tokens, which are no latents that a velocity could move",
        """
        AmusedImg2ImgPipeline AmusedInpaintPipeline AmusedPipeline DiffusionGemmaPipeline
        LLaDA2Pipeline VQDiffusionPipeline
        """,
    ),
    (
        "they are distilled to a few steps, each of which adds fresh noise",
        """
        ConsistencyModelPipeline LatentConsistencyModelImg2ImgPipeline
        LatentConsistencyModelPipeline
        """,
    ),
    (
        "they run no denoiser step by step: they encode, enlarge or decode",
        """
        FluxPriorReduxPipeline LTX2LatentUpsamplePipeline LTX2VideoDiffusionDecodePipeline
        LTXLatentUpsamplePipeline
        """,
    ),
    (
        "they stand for other pipelines, which they choose or load",
        """
        AutoPipelineForImage2Image AutoPipelineForInpainting AutoPipelineForText2Audio
        AutoPipelineForText2Image DiffusionPipeline ModularPipeline
        """,
    ),
)
"""A reason, and the names of the classes that it holds for."""
