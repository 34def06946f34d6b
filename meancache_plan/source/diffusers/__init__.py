"""Samples from diffusers' pipelines; in the compiler, nothing else drives diffusers."""
