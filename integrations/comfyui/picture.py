"""Draw the example workflow as the README shows it.

python -m integrations.comfyui.picture > integrations/comfyui/workflow.svg
"""

import json
from html import escape
from pathlib import Path
from typing import Any

EXAMPLE = Path(__file__).parent / "example_workflows" / "flux.json"
TITLE, ROW, EDGE = 30, 20, 20
"""Heights of a node's title and of a line in it, and the margin, in pixels."""
COLOURS = {"SAMPLER": "#ecb4b4", "SIGMAS": "#cdffcd", "LATENT": "#ff9cf9", "MODEL": "#b39ddb"}
STYLE = (
    "text{font:13px sans-serif;fill:#ddd}.t{font-weight:600}.w{fill:#999}"
    ".n{fill:#353535;stroke:#222}.ours{fill:#2a4d3a;stroke:#7fd6a4;stroke-width:2}"
)


def picture(workflow: dict[str, Any]) -> str:
    """A workflow of ComfyUI as SVG: nodes where they stand, with sockets, values and links."""
    nodes = {node["id"]: node for node in workflow["nodes"]}
    width = max(n["pos"][0] + n["size"][0] for n in nodes.values()) + EDGE
    height = max(n["pos"][1] + tall(n) for n in nodes.values()) + EDGE
    body = [link(nodes, *entry) for entry in workflow["links"]]
    body += [box(node) for node in nodes.values()]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}"><style>{STYLE}</style>\n'
        f'<rect width="{width}" height="{height}" fill="#1e1e1e"/>\n'
        + "\n".join(body)
        + "\n</svg>\n"
    )


def rows(node: dict[str, Any]) -> int:
    """How many lines of sockets a node has."""
    return max(len(node["inputs"]), len(node["outputs"]))


def tall(node: dict[str, Any]) -> int:
    """A node's height: title, sockets, values."""
    return TITLE + ROW * (rows(node) + len(node["widgets_values"])) + 8


def socket(node: dict[str, Any], side: str, slot: int) -> tuple[int, int]:
    """Where an input (left) or an output (right) of a node is."""
    x, y = node["pos"]
    return x + (node["size"][0] if side == "outputs" else 0), y + TITLE + ROW * slot + ROW // 2


def box(node: dict[str, Any]) -> str:
    """A node: its frame, its name, its sockets and its values."""
    (x, y), wide = node["pos"], node["size"][0]
    look = "ours" if node["type"].startswith("MeanCache") else "n"
    parts = [
        f'<rect class="{look}" x="{x}" y="{y}" width="{wide}" height="{tall(node)}" rx="6"/>',
        f'<text class="t" x="{x + 10}" y="{y + 20}">{escape(node["type"])}</text>',
    ]
    for side, anchor, shift in (("inputs", "start", 10), ("outputs", "end", -10)):
        for slot, entry in enumerate(node[side]):
            a, b = socket(node, side, slot)
            name = escape(entry["name"].lower())
            parts.append(f'<circle cx="{a}" cy="{b}" r="4" fill="{colour(entry["type"])}"/>')
            parts.append(f'<text text-anchor="{anchor}" x="{a + shift}" y="{b + 4}">{name}</text>')
    below = y + TITLE + ROW * rows(node)
    for line, value in enumerate(node["widgets_values"]):
        words = escape(str(value)) or "–"
        parts.append(f'<text class="w" x="{x + 14}" y="{below + ROW * line + 14}">{words}</text>')
    return "".join(parts)


def link(
    nodes: dict[int, Any], _: int, origin: int, output: int, target: int, slot: int, kind: str
) -> str:
    """A curve from an output to an input."""
    a, b = socket(nodes[origin], "outputs", output)
    c, d = socket(nodes[target], "inputs", slot)
    bend = max(30, abs(c - a) // 2)
    path = f"M{a} {b}C{a + bend} {b} {c - bend} {d} {c} {d}"
    return f'<path d="{path}" fill="none" stroke="{colour(kind)}" stroke-width="2"/>'


def colour(kind: str) -> str:
    """A type's colour."""
    return COLOURS.get(kind, "#9a9a9a")


if __name__ == "__main__":
    print(picture(json.loads(EXAMPLE.read_text(encoding="utf-8"))), end="")
