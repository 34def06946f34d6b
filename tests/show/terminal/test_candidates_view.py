"""Refinement's candidates are listed with their scores, the best first."""

from __future__ import annotations

import pytest
from rich.console import Console

from meancache_plan.schedule.provenance import PlanRecord, Score
from meancache_plan.show.terminal.candidates_view import candidates_view

SCORES = tuple(
    Score(name=name, samples=samples, psnr_latent=psnr, worst_decile=psnr - 7)
    for name, samples, psnr in [
        ("closed loop", 32, 60.25),
        ("as solved", 32, 54.0),
        ("fewer\x1b[31m steps", 32, 31.0),
        ("uniform hold", 8, 30.0),
        ("uniform adams", 8, 29.0),
    ]
)
RECORD = PlanRecord(budget=8, origin="closed loop", candidates=SCORES)


def lines(every: bool) -> list[str]:
    view = candidates_view(RECORD, every=every)
    console = Console(width=80, highlight=False, force_terminal=False)
    with console.capture() as capture:
        console.print(view)
    return [" ".join(line.split()) for line in capture.get().splitlines()]


def test_the_leading_candidates_stand_with_their_scores_and_the_rest_is_counted() -> None:
    text = lines(every=False)
    assert "closed loop 32 60.2 dB 53.2 dB" in text
    assert not any("uniform" in line for line in text)
    assert text[-1] == "and 2 more: --budget 8 shows all"


def test_all_of_them_are_listed_on_demand() -> None:
    text = lines(every=True)
    assert [line for line in text if line.endswith(" dB")] == [
        "closed loop 32 60.2 dB 53.2 dB",
        "as solved 32 54.0 dB 47.0 dB",
        "fewer�[31m steps 32 31.0 dB 24.0 dB",
        "uniform hold 8 30.0 dB 23.0 dB",
        "uniform adams 8 29.0 dB 22.0 dB",
    ]


def test_what_ranks_them_is_said_and_that_some_were_dropped_only_where_it_is_seen() -> None:
    every, leading = " ".join(lines(every=True)), " ".join(lines(every=False))
    for text in (every, leading):
        assert (
            "Ranked by mean PSNR, minus the decibels by which the worst tenth falls short of"
            in text
        )
        assert "from the half of the prompts on which no closed loop was fitted" in text
    assert "candidates with fewer were dropped early, and stand last" in every
    assert "dropped" not in leading


@pytest.mark.parametrize("every", [False, True])
def test_a_plan_that_was_not_refined_has_none(every: bool) -> None:
    assert candidates_view(PlanRecord(budget=8, origin="as solved"), every=every) is None
