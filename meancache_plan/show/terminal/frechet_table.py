"""Fréchet distances as a person wants them: a table of 80 columns."""

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from meancache_plan.judge.frechet.frechet_distances import Distances


def frechet_table(found: Distances) -> RenderableType:
    """One line per method and budget: its distance, and the change from the full samples'."""
    table = Table(box=box.SIMPLE_HEAD, padding=0, show_edge=False)
    table.add_column("method", no_wrap=True)
    for heading in ("B", found.name, "change", "95 % interval"):
        table.add_column(heading, justify="right")
    full, *others = found.rows
    table.add_row(full.method, str(full.budget), f"{full.distance:.4g}", "–", "–")
    for row in others:
        low, high = row.interval
        figures = (f"{row.distance:.4g}", f"{row.change:+.3g}", f"{low:+.3g} to {high:+.3g}")
        table.add_row(row.method, str(row.budget), *figures)
    caption = (
        f"{found.name} ({found.dimensions} dimensions) of {found.samples:,} samples of each method "
        f"to {found.pictures:,} {found.to}; change: from the full samples of the same prompts and "
        "seeds. Distances depend on the number of samples, changes much less."
    )
    return Group(table, Text(caption, style="dim"))
