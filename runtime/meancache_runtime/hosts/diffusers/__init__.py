"""diffusers: a plan replayed by interception, or as the scheduler of a pipeline."""
