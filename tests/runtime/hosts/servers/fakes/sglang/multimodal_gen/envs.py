"""python/sglang/multimodal_gen/envs.py: two of its settings, with what they are if unset."""

SGLANG_CACHE_DIT_ENABLED = False
SGLANG_DIFFUSION_CFG_GATE_STEP = 1.0
