"""Markdown whose words come from elsewhere: nothing in them becomes markup.

GitHub's dialect: what it would take for markup, HTML or a link is written so that it is none.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence

_MARKUP = re.compile(r"[\\`*_\[\]|~@$]|:(?=//)|(?<=www)\.", re.IGNORECASE)
"""What may begin markup within a line, or make a link of an address or a mention."""


def text(words: object) -> str:
    """Words within a line of ours, as they are; they must not begin it."""
    escaped = _MARKUP.sub(r"\\\g<0>", _line(words))
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def code(words: object) -> str:
    """Words as code within a line."""
    line = _line(words)
    fence = "`" * (_longest_run(line) + 1)
    edge = " " if line.startswith("`") or line.endswith("`") or not line.strip() else ""
    return f"{fence}{edge}{line}{edge}{fence}"


def block(lines: Iterable[str], language: str) -> str:
    """Lines of code that a reader copies."""
    body = "\n".join(_visible(line) for whole in lines for line in whole.splitlines())
    fence = "`" * max(3, _longest_run(body) + 1)
    return f"{fence}{language}\n{body}\n{fence}"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose cells are Markdown without a bar, set to the right as numbers are."""
    lines = [heads, ["---:"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _longest_run(words: str) -> int:
    return max((len(run) for run in re.findall(r"`+", words)), default=0)


def _line(words: object) -> str:
    return _visible(" ".join(str(words).split()))


def _visible(line: str) -> str:
    """Without characters that reorder or hide what follows."""
    return "".join(c for c in line if unicodedata.category(c)[0] != "C")
