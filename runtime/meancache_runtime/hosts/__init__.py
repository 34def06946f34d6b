"""Where plans are replayed: one host each, thin over the same step machine."""
