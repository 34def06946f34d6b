"""A video moves in the report: full, cached and difference at one pace."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from meancache_plan.show.page import write_report
from tests.show.page import reported
from tests.show.page.visit import visited

FRAME_SHOWN = """node => {
    const at = parseFloat(getComputedStyle(node).objectPosition.split(" ")[1]);
    return [at, node.getBoundingClientRect().width / node.getBoundingClientRect().height];
}"""


def test_a_videos_frames_move_at_one_pace_in_every_picture(browser: Any, tmp_path: Path) -> None:
    samples = reported.samples(tmp_path / "judged", frames=5)
    write_report(reported.SCHEDULE, tmp_path / "r.html", samples=samples)
    with visited(browser, tmp_path / "r.html") as found:
        found.choose(1)
        films = found.page.locator(".open .film").all()
        assert len(films) == 3 * len(reported.PROMPTS)
        pause = "() => document.getAnimations().forEach(a => { a.pause(); a.currentTime = %d; })"
        for milliseconds, share in ((0, 0), (130, 25), (590, 100)):
            found.page.evaluate(pause % milliseconds)
            shown = [film.evaluate(FRAME_SHOWN) for film in films]
            assert [at for at, _ in shown] == pytest.approx([share] * len(films))
        assert [ratio for _, ratio in shown] == pytest.approx([48 / 64] * len(films), rel=0.02)
        assert found.complaints == []
