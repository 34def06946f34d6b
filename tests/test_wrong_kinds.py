"""A function that is given another kind of object says which argument, and what to give."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

import meancache_plan as mp
from meancache_plan.errors import InputError

GRID = [1 - i / 12 for i in range(13)]
NOISE = torch.randn(2, 4, generator=torch.Generator().manual_seed(0))


def flow(z: torch.Tensor, sigma: float) -> torch.Tensor:
    return z * sigma


PROFILE: Any = mp.profile_flow(flow, NOISE, GRID)
SCHEDULE: Any = mp.solve(PROFILE, [4])
WRONG: Any = object()


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: mp.solve("p.safetensors", [4]), "profile is 'p.safetensors': calibrate makes"),  # pyright: ignore[reportArgumentType]
        (lambda: mp.solve(PROFILE, WRONG), "budgets is of type object: give a list"),
        (lambda: mp.solve(PROFILE, 4), "budgets is 4: give a list"),  # pyright: ignore[reportArgumentType]
        (lambda: mp.solve(PROFILE, ["4"]), "a budget is '4': give a whole number"),  # pyright: ignore[reportArgumentType]
        (lambda: mp.solve(PROFILE, [4], predictors="adams"), "predictors is 'adams': give a list"),
        (lambda: mp.solve(PROFILE, [4], gamma=WRONG), "gamma is of type object"),
        (lambda: mp.solve(PROFILE, [4], order=WRONG), "order is of type object"),
        (lambda: mp.solve(PROFILE, [4], max_edge=WRONG), "max_edge is of type object"),
        (lambda: mp.solve(PROFILE, [4], statistic=WRONG), "statistic is of type object"),
        (lambda: mp.planning_graph(SCHEDULE), "profile is of type Schedule"),
        (lambda: mp.merge_profiles(PROFILE), "profiles is of type Profile: give a list"),
        (lambda: mp.merge_profiles([SCHEDULE]), "a profile is of type Schedule"),
        (lambda: mp.save_profile(SCHEDULE, "x"), "profile is of type Schedule"),
        (lambda: mp.save_schedule(PROFILE, "x"), "schedule is of type Profile"),
        (lambda: mp.with_measured(SCHEDULE, PROFILE), "evaluation is of type Profile"),
        (lambda: mp.profile_flow(WRONG, NOISE, GRID), "velocity is of type object"),
        (
            lambda: mp.profile_flow(lambda z, s: WRONG, NOISE, GRID),
            "velocity returned is of type object",
        ),
        (lambda: mp.profile_flow(lambda z, s: z[0], NOISE, GRID), r"the latents' shape \[1, 4\]"),
        (lambda: mp.profile_flow(flow, NOISE.long(), GRID), "noise is torch.int64"),
        (lambda: mp.profile_flow(flow, NOISE + 0j, GRID), "noise is torch.complex64"),
        (lambda: mp.profile_flow(flow, WRONG, GRID), "noise is of type object"),
        (lambda: mp.profile_flow(flow, NOISE, WRONG), "not noise levels"),
        (lambda: mp.profile_flow(flow, NOISE, "abc"), "not noise levels"),  # pyright: ignore[reportArgumentType]
        (lambda: mp.calibrate(WRONG, "a cat"), "prompts is 'a cat': give a list"),
        (lambda: mp.calibrate(WRONG, [WRONG]), "a prompt is of type object: give strings"),
        (lambda: mp.calibrate(WRONG, ["a"], WRONG), "seeds is of type object: give a list"),
        (lambda: mp.calibrate(WRONG, ["a"], [-1]), "a seed -1: give 0 or more"),
        (lambda: mp.calibrate(WRONG, ["a"], shard="2"), "shard '2': give i/n"),
        (lambda: mp.calibrate(WRONG, ["a"], shard=WRONG), "shard is of type object"),
        (lambda: mp.refine(WRONG, PROFILE, SCHEDULE, ["a"]), "schedule is of type Profile"),
        (lambda: mp.refine(WRONG, SCHEDULE, SCHEDULE, ["a"]), "profile is of type Schedule"),
        (lambda: mp.evaluate(WRONG, "s.json", ["a"]), "schedule is 's.json'"),  # pyright: ignore[reportArgumentType]
        (
            lambda: mp.evaluate(WRONG, SCHEDULE, ["a"], rivals={"b": WRONG}),
            "rival b is of type object",
        ),
    ],
)
def test_another_kind_is_refused_by_name(call: Callable[[], Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        call()


def test_any_list_of_whole_numbers_is_a_list() -> None:
    budgets = torch.tensor([4, 6]).numpy()
    assert mp.solve(PROFILE, budgets) == mp.solve(PROFILE, range(4, 7, 2))
