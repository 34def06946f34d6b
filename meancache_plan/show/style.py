"""Colours and plain text, the same in the terminal and in pictures."""

from meancache_plan.core.predictors import PREDICTORS

COLOURS = {name: predictor.colour for name, predictor in PREDICTORS.items()}
"""The colour of each predictor's knots, told apart by colour-blind people too."""

COLOURS_ON_DARK = {name: predictor.on_dark for name, predictor in PREDICTORS.items()}


def plain(text: str) -> str:
    """Without control characters: a file's texts cannot steer the terminal."""
    return "".join(c if c.isprintable() else "�" for c in text)
