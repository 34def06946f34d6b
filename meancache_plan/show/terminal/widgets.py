"""What rich lacks: a plan's timeline, a sparkline, and a list of facts; safe on any terminal."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from meancache_plan.show.style import COLOURS, plain


@dataclass(frozen=True, slots=True)
class Timeline:
    """T cells: a filled block where the denoiser runs, a light one where it is cached."""

    steps: int
    predictors: dict[int, str]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw, in lines of equal length that are whole tens where they fit."""
        knot, cached = ("#", ".") if options.ascii_only else ("█", "░")
        width = options.max_width
        across = min(self.steps, width - width % 10 if width >= 10 else width)
        for first in range(0, self.steps, across):
            line = Text(no_wrap=True, end="\n")
            for step in range(first, min(first + across, self.steps)):
                kind = self.predictors.get(step)
                line.append(cached if kind is None else knot, COLOURS[kind] if kind else "dim")
            yield line


@dataclass(frozen=True, slots=True)
class Sparkline:
    """Values 0 … ``highest`` as blocks of eight heights; NaN is blank, a long row is thinned."""

    values: tuple[float, ...]
    highest: float

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """At best one cell a value."""
        return Measurement(1, min(len(self.values), options.max_width))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw in one line; each cell is the largest of the values that share it."""
        levels = ".:-=+*#%" if options.ascii_only else "▁▂▃▄▅▆▇█"
        cells = min(len(self.values), options.max_width)
        line = Text(no_wrap=True)
        for part in np.array_split(np.array(self.values), cells):
            line.append(self._cell(part, levels))
        yield line

    def _cell(self, part: npt.NDArray[np.float64], levels: str) -> str:
        if np.isnan(part).all():
            return " "
        share = float(np.nanmax(part)) / (self.highest or 1.0)
        return levels[min(int(share * len(levels)), len(levels) - 1)]


def fact_list(facts: dict[str, str]) -> Table:
    """Names and values in two columns; long values are folded."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts.items():
        table.add_row(Text(name), Text(plain(value)))
    return table
