"""What the page shows of the plans themselves."""

from dataclasses import asdict
from typing import Any

from meancache_plan.judge.findings import PLAN, Evaluation, Row
from meancache_plan.schedule.artifact import PlanEntry, Schedule
from meancache_plan.schedule.provenance import PlanRecord
from meancache_plan.show.strays import stray_note
from meancache_plan.show.terminal.quality_notes import quality_notes
from meancache_plan.show.terminal.reliability_facts import stability_note
from meancache_runtime.predictors import Predictor


def plan_data(schedule: Schedule, evaluation: Evaluation | None) -> list[dict[str, Any]]:
    """One record per plan: knots, intervals, and what is known of it in words."""
    made, rows = schedule.calibrated, () if evaluation is None else evaluation.rows
    judged = {row.budget: row for row in rows if row.method == PLAN}
    return [
        _record(
            plan,
            schedule.grid.steps,
            made.record(plan.budget) if made is not None else None,
            judged.get(plan.budget),
        )
        for plan in schedule.plans
    ]


def _record(
    plan: PlanEntry, steps: int, record: PlanRecord | None, row: Row | None
) -> dict[str, Any]:
    stability = None if record is None else record.stability
    if stability is not None and len(stability) != len(plan.knots):
        stability = None
    others = stability_note(plan.knots, stability), None if row is None else stray_note(row)
    return {
        "budget": plan.budget,
        "knots": plan.knots,
        "intervals": [_interval(interval) for interval in plan.intervals],
        "stability": stability,
        "theory": steps / len(plan.knots),
        "notes": [*quality_notes(plan, record), *filter(None, others)],
    }


def _interval(interval: Predictor) -> dict[str, Any]:
    """Its predictor, what else the file says of it in words, and its gains."""
    said = asdict(interval)
    gains = said.pop("gains", None)
    words = [f"{name} {value}" for name, value in said.items()]
    if gains is None:
        return {"predictor": interval.name, "detail": ", ".join(words)}
    return {"predictor": interval.name, "detail": f"order {len(gains)}", "gains": gains}
