"""What the page shows of the plans themselves."""

from typing import Any

from meancache_plan.schedule.artifact import PlanEntry, Schedule
from meancache_plan.schedule.provenance import PlanRecord
from meancache_plan.show.terminal.quality import quality_notes
from meancache_plan.show.terminal.reliability import stability_note
from meancache_runtime.schedule import Adams, Jvp, Predictor, Released


def plan_data(schedule: Schedule) -> list[dict[str, Any]]:
    """One record per plan: knots, intervals, and what is known of it in words."""
    made = schedule.provenance
    return [
        _record(plan, schedule.grid.steps, made.record(plan.budget) if made is not None else None)
        for plan in schedule.plans
    ]


def _record(plan: PlanEntry, steps: int, record: PlanRecord | None) -> dict[str, Any]:
    stability = None if record is None else record.stability
    if stability is not None and len(stability) != len(plan.knots):
        stability = None
    note = stability_note(plan.knots, stability)
    return {
        "budget": plan.budget,
        "knots": plan.knots,
        "intervals": [_interval(interval) for interval in plan.intervals],
        "stability": stability,
        "theory": steps / len(plan.knots),
        "notes": [*quality_notes(plan, record), *([] if note is None else [note])],
    }


def _interval(interval: Predictor) -> dict[str, Any]:
    """Its predictor, the predictor's parameter in words, and its gains."""
    match interval:
        case Adams(gains):
            detail, more = f"order {len(gains)}", {"gains": gains}
        case Jvp(reach) | Released(reach):
            detail, more = f"K = {reach}", {}
        case _:
            detail, more = "", {}
    return {"predictor": interval.name, "detail": detail, **more}
