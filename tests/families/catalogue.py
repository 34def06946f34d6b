"""Every case and refusal of the conformance tests; also the rows of docs/PIPELINES.md."""

from __future__ import annotations

from importlib import import_module

from tests.families.case import Case, Refusal

NAMES = [
    "audio",
    "aura_flow",
    "bria_fibo",
    "chroma",
    "cogview4",
    "cosmos",
    "dreamlite",
    "easy_animate",
    "flux",
    "flux2",
    "guided_in_part",
    "guiders",
    "hidream",
    "hunyuan_image",
    "hunyuan_video",
    "joy_image",
    "kandinsky",
    "kandinsky6",
    "longcat_audio",
    "longcat_image",
    "ltx",
    "ltx2",
    "ltx2_relatives",
    "lumina2",
    "mochi",
    "not_flow",
    "omnigen",
    "other_images",
    "own_samplers",
    "proteina",
    "qwen_image",
    "sana",
    "sana_wm",
    "skyreels",
    "stable_diffusion_3",
    "visual_cloze",
    "wan",
    "wan_relatives",
    "z_image",
]
"""The modules of this folder that hold cases."""

_FAMILIES = [import_module(f"tests.families.{name}") for name in NAMES]

CASES: tuple[Case, ...] = tuple(case for family in _FAMILIES for case in family.CASES)
REFUSALS: tuple[Refusal, ...] = tuple(case for family in _FAMILIES for case in family.REFUSALS)
