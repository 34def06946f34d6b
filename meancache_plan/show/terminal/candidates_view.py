"""What refinement tried for a plan: the candidates' scores, as they were replayed."""

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from meancache_plan.schedule.provenance import PlanRecord
from meancache_plan.show.style import plain

LEADING = 3
"""Candidates that are shown of each plan, unless all are asked for."""

RANKING = (
    "Ranked by mean PSNR, minus the decibels by which the worst tenth falls short of the best "
    "baseline's (as solved, as published, evenly spread knots, fewer steps). Replayed: samples, "
    "from the half of the prompts on which no closed loop was fitted"
)
"""What :meth:`meancache_plan.improve.race.Race.ranking` goes by."""

DROPPED = "; candidates with fewer were dropped early, and stand last"


def candidates_view(record: PlanRecord, *, every: bool = False) -> RenderableType | None:
    """The candidates in the order of the file, the best first; None if nothing was replayed.

    Args:
        record: What is known of a plan.
        every: All of them, rather than the leading ones.
    """
    if not record.candidates:
        return None
    shown = record.candidates if every else record.candidates[:LEADING]
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), show_edge=False)
    table.add_column("candidate", overflow="fold")
    for heading in ("replayed", "latent PSNR", "worst tenth"):
        table.add_column(heading, justify="right", no_wrap=True)
    for score in shown:
        name = Text(plain(score.name), style="bold" if score.name == record.origin else "")
        figures = f"{score.psnr_latent:.1f} dB", f"{score.worst_decile:.1f} dB"
        table.add_row(name, str(score.samples), *figures)
    dropped = len({score.samples for score in shown}) > 1
    notes = [f"{RANKING}{DROPPED if dropped else ''}."]
    left = len(record.candidates) - len(shown)
    if left > 0:
        notes.append(f"and {left} more: --budget {record.budget} shows all")
    return Group(table, *(Text(note, style="dim") for note in notes))
