"""In Python, with a pipeline at hand: what the commands do, as functions."""
