"""What a test asks of an open page."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

BACKGROUND = """node => {
    for (let at = node; at; at = at.parentElement) {
        const colour = getComputedStyle(at).backgroundColor;
        if (!colour.startsWith("rgba(0, 0, 0, 0")) return colour;
    }
    return "rgb(255, 255, 255)";
}"""

PIXEL = """([node, x, y]) => {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [node.naturalWidth ?? node.width, node.naturalHeight ?? node.height];
    const context = canvas.getContext("2d");
    context.drawImage(node, 0, 0);
    return Array.from(context.getImageData(x, y, 1, 1).data);
}"""  # noqa: E501

INK = (
    "h1", "h2", ".about", ".eyebrow", "#verdict", ".tile .value", ".tile .small", "#rivals th",
    "#rivals .ours td", "#rivals td", "#chosen", "#chosen strong", ".ticks .now", ".ticks button",
    "figcaption", "#pareto .tick", "#pareto .axis", "#timeline .tick", ".notes li", ".prompt",
    "pre code", ".copy", "#theme", "dt", "dd", "footer", "summary", ".readout",
)  # fmt: skip
"""Whatever is read on the page."""


class Visit:
    """An open page, with every request it made and everything it complained of."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.requests: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def choose(self, index: int) -> None:
        """Move the slider to a plan, as a hand does; wait until the pictures are drawn."""
        self.page.locator("#budget").fill(str(index))
        self.settle()

    def settle(self) -> None:
        """Wait until every difference shows what it should."""
        self.page.wait_for_function(
            "() => [...document.querySelectorAll('.open canvas:not([hidden])')]"
            ".every(c => c.dataset.drawn === c.dataset.wanted)"
            " && [...document.images].every(i => i.complete)"
        )

    def text(self, selector: str) -> str:
        """The text that is shown there, spaces folded."""
        return " ".join(self.page.locator(selector).first.inner_text().split())

    def intervals(self, selector: str) -> list[tuple[int, int]]:
        """First step and end of the intervals that are drawn there."""
        read = "nodes => nodes.map(n => [Number(n.dataset.start), Number(n.dataset.end)])"
        return [(start, end) for start, end in self.page.locator(selector).evaluate_all(read)]

    def card(self, prompt: str) -> Any:
        """The samples of a prompt."""
        cards = self.page.locator("article.card")
        texts = [text.strip() for text in cards.locator(".prompt").all_text_contents()]
        return cards.nth(texts.index(prompt.strip()))

    def pixel(self, node: Any, x: int = 0, y: int = 0) -> list[int]:
        """Red, green, blue and alpha of a pixel of a picture or canvas."""
        return self.page.evaluate(PIXEL, [node.element_handle(), x, y])

    def contrast(self, selector: str) -> float:
        """WCAG contrast ratio of the text there against what is behind it, 1 … 21."""
        node = self.page.locator(selector).first
        part = "fill" if node.evaluate("n => n instanceof SVGElement") else "color"
        ink = node.evaluate(f"n => getComputedStyle(n).{part}")
        light, dark = sorted((_luminance(ink), _luminance(node.evaluate(BACKGROUND))))[::-1]
        return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    """Relative luminance of ``rgb(r, g, b)``, as WCAG 2 defines it."""
    channels = [float(part) / 255 for part in colour[4:-1].split(",")]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@contextmanager
def visited(browser: Any, file: Path, **options: Any) -> Iterator[Visit]:
    """Open the file without a network."""
    context = browser.new_context(**options)
    context.set_offline(True)
    context.set_default_timeout(10_000)
    try:
        visit = Visit(context.new_page())
        visit.page.goto(file.as_uri())
        visit.settle()
        yield visit
    finally:
        context.close()
