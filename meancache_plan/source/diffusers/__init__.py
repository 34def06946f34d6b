"""Frameworks that samples come from; each file here is the only one that imports its own."""
