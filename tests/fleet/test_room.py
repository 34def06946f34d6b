"""How many workers there is room for on the machines of a cluster."""

from __future__ import annotations

import pytest

from meancache_plan.fleet.room import Room

GPUS = [{"CPU": 16.0, "GPU": 8.0}, {"CPU": 16.0, "GPU": 3.0}, {"CPU": 16.0}]


@pytest.mark.parametrize(
    ("room", "times"),
    [
        (Room(gpus=1), 8 + 3),
        (Room(gpus=2), 4 + 1),  # of one machine each
        (Room(gpus=0, threads=5), 3 + 3 + 3),
        (Room(gpus=1, gang=4), 2),
        (Room(gpus=1, gang=8), 1),
        (Room(gpus=1, gang=11), 1),  # no machine holds it
        (Room(gpus=1, gang=12), 0),
    ],
)
def test_a_gang_is_divided_among_machines_only_if_none_holds_it(room: Room, times: int) -> None:
    assert room.times(GPUS) == times


@pytest.mark.parametrize(
    ("room", "said"),
    [
        (Room(gpus=1, gang=12), "a gang of 12 takes 12 GPUs, but the cluster has 11: give fewer"),
        (Room(gpus=9), "a worker takes 9 GPUs, but the cluster has 11, on several machines: give"),
        (Room(gpus=0, threads=64), "a worker takes 64 CPUs, but the cluster has 48: give fewer"),
    ],
)
def test_it_is_said_what_is_missing(room: Room, said: str) -> None:
    assert not room.times(GPUS)
    assert room.missing(GPUS).startswith(said)
