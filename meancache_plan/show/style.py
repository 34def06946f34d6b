"""Colours and plain text, the same in the terminal and in pictures."""

STYLES = {"hold": "blue", "jvp": "yellow", "released": "magenta", "adams": "green"}
"""The colour of each predictor's knots."""


def plain(text: str) -> str:
    """Without control characters: a file's texts cannot steer the terminal."""
    return "".join(c if c.isprintable() else "�" for c in text)


COLOURS = {"hold": "#4477aa", "jvp": "#ee9922", "released": "#aa4499", "adams": "#228855"}
"""Predictors, told apart by colour-blind people too."""
