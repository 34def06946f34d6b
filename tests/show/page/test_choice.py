"""Which prompts a report shows."""

from __future__ import annotations

import pytest

from meancache_plan.judge.sample_folder import Cached, Pictured
from meancache_plan.show.page.prompt_choice import choose


def pictured(number: int, psnr: dict[int, float]) -> Pictured:
    cached = tuple(
        Cached(budget=b, calls=b, psnr=value, picture="001-003.png", error="001-003.error.png")
        for b, value in psnr.items()
    )
    return Pictured(prompt=str(number), seed=0, full="001-full.png", cached=cached)


def names(samples: list[Pictured], group: str) -> list[str]:
    return [sample.prompt for found, sample in choose(samples) if found == group]


SIXTY_FOUR = [pictured(i, {8: 30.0 + i, 16: 90.0 - i}) for i in range(64)]


def test_the_worst_of_every_budget_are_among_the_worst() -> None:
    assert names(SIXTY_FOUR, "worst") == ["0", "63", "1", "62", "2", "61"]


def test_the_best_and_the_typical_are_ranked_at_the_smallest_budget() -> None:
    assert names(SIXTY_FOUR, "best") == ["60", "59", "58", "57", "56"]
    typical = [int(name) for name in names(SIXTY_FOUR, "typical")]
    assert len(typical) == 5
    assert all(26 <= number <= 36 for number in typical)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 15, 16])
def test_sixteen_prompts_or_fewer_are_all_shown_once(count: int) -> None:
    found = [sample.prompt for _, sample in choose(SIXTY_FOUR[:count])]
    assert sorted(found, key=int) == [str(i) for i in range(count)]
    assert names(SIXTY_FOUR[:count], "worst")[0] == "0"


def test_prompts_without_a_cached_picture_are_left_out() -> None:
    assert [s.prompt for _, s in choose([pictured(0, {}), pictured(1, {8: 30.0})])] == ["1"]
    assert choose([]) == []
