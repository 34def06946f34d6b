"""Part of a fake of SGLang; see ``sglang/multimodal_gen/plugins.py``."""
