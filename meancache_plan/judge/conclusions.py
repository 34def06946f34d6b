"""From samples to rows: figures with their spread, or why a contender has none."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from meancache_plan.core.innovation import spread
from meancache_plan.core.psnr import latent_range
from meancache_plan.judge.contender import Contender
from meancache_plan.judge.contest import Programme
from meancache_plan.judge.figures import FIGURES, Figure
from meancache_plan.judge.findings import AtKnot, Row, Spread
from meancache_plan.judge.finished_samples import Failed, Run
from meancache_plan.judge.run_contest import Outcomes


def conclude(programme: Programme, found: Outcomes) -> dict[str, Any]:
    """What these samples come to, as findings state it; the full run is the first row.

    Args:
        programme: Who competed on what.
        found: What :func:`meancache_plan.judge.run_contest.run` gave.
    """
    full = [each for each in found[programme.full.key] if isinstance(each, Run)]
    value_range = latent_range([each.moments for each in full if each.moments])
    rows = tuple(
        _row(programme, contender, found[contender.key], full, value_range)
        for contender in programme.everyone
    )
    return {**programme.circumstances, "latent_range": value_range, "rows": rows}


def _row(
    programme: Programme,
    contender: Contender,
    outcomes: Sequence[Run | Failed],
    full: Sequence[Run],
    value_range: float,
) -> Row:
    about: dict[str, Any] = {"method": contender.name, "setting": contender.setting}
    about |= {"steps": contender.steps, "budget": contender.budget}
    failed = next((each for each in outcomes if isinstance(each, Failed)), None)
    if failed is not None:
        return Row(**about, failure=failed.reason)
    runs = [each for each in outcomes if isinstance(each, Run)]
    figures = {
        figure.name: spread
        for figure in map(FIGURES.__getitem__, programme.figures)
        if (spread := _spread(programme, figure, runs, full, value_range)) is not None
    }
    plain = float(np.mean([each.figures["seconds"] for each in full]))
    return Row(
        **about,
        figures=figures,
        innovations=_innovations(runs),
        speedup=plain / figures["seconds"].mean,
    )


def _innovations(runs: Sequence[Run]) -> tuple[AtKnot, ...]:
    """How far these runs of a plan strayed, knot by knot."""
    knots = tuple(runs[0].innovations)
    if not knots:
        return ()
    found = np.array([[run.innovations[knot] for knot in knots] for run in runs])
    columns = {**spread(found)._asdict(), "beyond": (found > 1).mean(axis=0)}
    each = zip(*(column.tolist() for column in columns.values()), strict=True)
    return tuple(
        AtKnot(knot=knot, **dict(zip(columns, values, strict=True)))
        for knot, values in zip(knots, each, strict=True)
    )


def _spread(
    programme: Programme,
    figure: Figure,
    runs: Sequence[Run],
    full: Sequence[Run],
    value_range: float,
) -> Spread | None:
    """A figure over the samples on which it was measured; None if that are none."""
    prompts = np.repeat(np.arange(len(programme.prompts)), len(programme.seeds)).tolist()
    name = figure.name
    known = [
        (figure.finish(run.figures[name], other.figures.get(name, 0.0), value_range), prompt)
        for run, other, prompt in zip(runs, full, prompts, strict=True)
        if name in run.figures
    ]
    if not known:
        return None
    values, groups = zip(*known, strict=True)
    return Spread.of(values, higher=figure.higher, groups=groups)
