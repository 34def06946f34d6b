"""Refine plans by replay: closed-loop gains, and the best of many candidates."""
