"""From a model to a profile: make full runs, keep what planning needs."""
