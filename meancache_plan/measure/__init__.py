"""From a model to a profile: run full trajectories, keep what planning needs."""
