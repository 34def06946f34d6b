"""The page: its parts, kept beside this module, joined into one HTML file with its data.

Data cannot become markup: they stand in a JSON block without ``<``, ``>`` and ``&``, the scripts
set text as text only, and the content security policy names the one script and the one style
sheet by their hashes and allows no connection.
"""

import base64
import hashlib
import json
import re
from importlib.resources import files
from typing import Any

from meancache_plan.show.page.without_scripts import still
from meancache_plan.show.style import COLOURS, COLOURS_ON_DARK

SCRIPTS = (
    "dom", "state", "theme", "figures", "pareto", "strips", "timeline", "heat", "pictures", "facts",
    "start",
)  # fmt: skip
"""The page's scripts, in the order in which they are joined."""

_ESCAPES = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}
_SLOT = re.compile(r"\{\{(policy|style|script|data|still)\}\}")


def render(data: dict[str, Any]) -> str:
    """The whole HTML file, with this data.

    Args:
        data: JSON values, as :func:`meancache_plan.show.page.report_writing.report_data` has them;
            numbers must be finite.

    Example:
        >>> "<b>" in render({"title": "<b>", "steps": 8, "plans": [], "figures": None})
        False
    """
    style = _part("page.css") + _colours()
    script = '"use strict";\n(() => {\n' + "\n".join(_part(f"{s}.js") for s in SCRIPTS) + "})();\n"
    parts = {
        "policy": _policy(style, script),
        "style": style,
        "script": script,
        "data": to_script_json(data),
        "still": still(data),
    }
    return _SLOT.sub(lambda slot: parts[slot[1]], _part("page.html"))


def _colours() -> str:
    """The style of what belongs to a predictor: a class of its name, on light and on dark."""
    light, dark = (
        " ".join(f"--{name}: {colour};" for name, colour in colours.items())
        for colours in (COLOURS, COLOURS_ON_DARK)
    )
    classes = " ".join(f".{name} {{ color: var(--{name}); }}" for name in COLOURS)
    return (
        f":root {{ {light} }}\n"
        f'@media (prefers-color-scheme: dark) {{ :root:not([data-theme="light"]) {{ {dark} }} }}\n'
        f':root[data-theme="dark"] {{ {dark} }}\n{classes}\n'
    )


def to_script_json(value: object) -> str:
    """JSON that is safe between script tags: no tag can begin or end in it."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8", "replace").decode().translate(_ESCAPES)


def _policy(style: str, script: str) -> str:
    return (
        "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; "
        f"style-src {_source(style)}; script-src {_source(script)}"
    )


def _source(text: str) -> str:
    """The source expression of an inline element with exactly this text (CSP level 2)."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _part(name: str) -> str:
    return files("meancache_plan.show.page").joinpath("assets", name).read_text(encoding="utf-8")
