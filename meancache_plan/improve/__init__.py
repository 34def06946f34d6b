"""Refine plans by replay: knots of many, tried and moved, and gains fitted in closed loop."""
