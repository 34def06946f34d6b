"""How good plans are, in words: what was predicted, fitted, validated and measured."""

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from meancache_plan.core.psnr import CEILING
from meancache_plan.schedule.artifact import PlanEntry, Schedule
from meancache_plan.schedule.provenance import GainFit, PlanRecord, Quality
from meancache_plan.schedule.pruning import pruned_notes
from meancache_plan.show.payoff import payoff_notes
from meancache_plan.show.style import plain


def quality_notes(plan: PlanEntry, record: PlanRecord | None) -> list[str]:
    """What is known of a plan's quality, one line each; the most trustworthy last."""
    notes: list[str] = []
    if record is not None:
        notes.append(f"from {plain(record.origin)}")
        if record.fit is not None:
            notes.append(_fit(record.fit))
        if record.predicted is not None:
            notes.append(f"predicted: latents {_guess(record.predicted)}")
        if record.validated is not None:
            found = record.validated
            notes.append(
                "validated on the calibration prompts that chose it: latents "
                f"{found.psnr_latent:.1f} dB ({found.low:.1f} to {found.high:.1f})"
            )
    if plan.measured is not None:
        seen = plan.measured
        notes.append(
            f"measured on {seen.samples} samples: latents {seen.psnr_latent:.1f} dB, pictures "
            f"{seen.psnr:.1f} dB, SSIM {seen.ssim:.3f}, {seen.speedup:.2f}×"
        )
    return notes


def _fit(fit: GainFit) -> str:
    """Of a single prompt nothing can be held out: both figures are then the same."""
    crossed = f", {fit.cross_validated:.3g} cross-validated"
    told = crossed if fit.cross_validated != fit.fitted else ""
    return f"gains: deviation {fit.fitted:.3g} fitted{told}; shrinkage {fit.shrinkage:g}"


def _guess(quality: Quality) -> str:
    if quality.low >= CEILING:
        return "as all steps give them"
    return f"{quality.psnr_latent:.1f} dB (at worst {quality.low:.1f}, at best {quality.high:.1f})"


def front_table(schedule: Schedule, *, seconds: float = 0.0) -> RenderableType:
    """One line per plan: what each budget is expected to give, and which budgets are useless."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), show_edge=False)
    for heading in ("budget", "speed-up", "latent PSNR", "interval"):
        table.add_column(heading, justify="right", no_wrap=True)
    made, steps = schedule.calibrated, schedule.grid.steps
    for plan in schedule.plans:
        record = made.record(plan.budget) if made is not None else None
        found = (record.validated or record.predicted) if record is not None else None
        figures = ["–", "–"]
        if found is not None:
            figures = [f"{found.psnr_latent:.1f} dB", f"{found.low:.1f} to {found.high:.1f}"]
        table.add_row(str(plan.budget), f"{steps / len(plan.knots):.2f}×", *figures)
    caption = (
        f"Out of {steps} steps, in theory; no smaller budget does as well as any of these. At few "
        "refreshes replay may be far below what is predicted: check with evaluate."
    )
    notes = [caption, *map(plain, (*pruned_notes(schedule), *payoff_notes(schedule, seconds)))]
    return Group(table, *(Text(note, style="dim") for note in notes))
