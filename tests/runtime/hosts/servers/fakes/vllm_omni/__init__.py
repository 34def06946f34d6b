"""Part of a fake of vLLM-Omni; see ``vllm_omni/plugins.py``."""
