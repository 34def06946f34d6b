"""A comparison on the terminal: what the best setting of everyone does at each plan's cost."""

from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from meancache_plan.judge.compare.equal_cost import SLACK, Cost, Match, losses, matches
from meancache_plan.judge.figures import FIGURES
from meancache_plan.judge.findings import PLAN, Comparison, Row
from meancache_plan.show.style import plain

WORDS: dict[Cost, str] = {
    "refreshes": "equivalent refreshes (denoiser compute)",
    "relative_seconds": "measured seconds of the denoising loop",
    "whole_refreshes": "whole refreshes, parts of a call counted as nothing",
}

SHOWN: tuple[Cost, ...] = ("refreshes", "relative_seconds")


def comparison_tables(
    comparison: Comparison, costs: Sequence[Cost] = SHOWN, quality: str = "psnr_latent"
) -> RenderableType:
    """A table for each kind of cost, who could not run, and where the plans lose."""
    parts: list[RenderableType] = []
    for cost in costs:
        found = matches(comparison, cost, quality)
        parts += [_table(found, cost, quality), Text(_losses(found, cost)), Text("")]
    for failure in failures(comparison):
        parts.append(Text(plain(failure), style="dim"))
    parts.append(Text(plain(memory_words(comparison))))
    return Group(*parts, Text(_caption(comparison), style="dim"))


def memory_words(comparison: Comparison) -> str:
    """What the loop takes of memory: with the plans, then with peers by their worst setting."""
    found = comparison.memory()
    if not found:
        return "Memory was not measured."
    ends = {
        peer: dict.fromkeys((f"{least:.2f}", f"{most:.2f}"))  # one, where they read the same
        for peer, (least, most) in sorted(found.items(), key=lambda it: (it[0] != PLAN, it[1][1]))
    }
    said = [f"{peer} {' to '.join(both)}" for peer, both in ends.items()]
    return (
        "Peak memory of the loop beyond what was there when it began, over the full run's: "
        f"{', '.join(said)}."
    )


def failures(comparison: Comparison) -> list[str]:
    """Who could not run and why, one line per peer and reason."""
    found: dict[tuple[str, str], int] = {}
    for row in comparison.failures():
        key = (row.method, row.failure or "")
        found[key] = found.get(key, 0) + 1
    ran = {row.method for row in comparison.measured()}
    return [
        f"{peer}{f' ({n} of its settings)' if peer in ran else ''}: {reason}"
        for (peer, reason), n in found.items()
    ]


def grid_of(found: Sequence[Match]) -> tuple[list[Row], dict[str, list[Match]]]:
    """The plans, and each peer's matches in their order."""
    plans = list({match.plan.setting: match.plan for match in found}.values())
    peers: dict[str, list[Match]] = {}
    for match in found:
        peers.setdefault(match.peer, []).append(match)
    return plans, peers


def _table(found: Sequence[Match], cost: Cost, quality: str) -> Table:
    plans, peers = grid_of(found)
    title = f"At no more {WORDS[cost]} than the plan's (+{SLACK[cost]:.0%}): "
    title += FIGURES[quality].axis
    table = Table(
        title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=0, show_edge=False
    )
    table.add_column("best setting of", no_wrap=True)
    for row in plans:
        table.add_column(f"B={row.budget}", justify="right", no_wrap=True)
    table.add_row(Text(PLAN, style="bold"), *(Text(_value(row, quality)) for row in plans))
    for peer, cells in peers.items():
        table.add_row(Text(plain(peer)), *(_cell(match, quality) for match in cells))
    return table


def _cell(match: Match, quality: str) -> Text:
    if match.best is None:
        return Text("–", style="dim")
    return Text(_value(match.best, quality), style="bold red" if match.lost else "")


def _value(row: Row, quality: str) -> str:
    return f"{row.mean(quality):.{FIGURES[quality].digits}f}"


def _losses(found: Sequence[Match], cost: Cost) -> str:
    lost = list(losses(found))
    if not lost:
        return f"At equal {WORDS[cost]} no peer is better than a plan."
    said = [
        f"{match.peer} ({match.best.setting}) by {-match.gain:.1f} at B = {match.plan.budget}"
        + ("" if match.clearly else ", within the noise")
        for match in lost
        if match.best is not None
    ]
    return "The plans lose to " + "; ".join(said)


def _caption(comparison: Comparison) -> str:
    samples = comparison.prompts * len(comparison.seeds)
    return (
        f"{samples} samples (prompts × seeds: {comparison.prompts} × {len(comparison.seeds)}) "
        f"against all {comparison.steps} steps, on {comparison.device}. –: none of its settings "
        "is that cheap. Settings are chosen on these very samples, which favours peers."
    )
