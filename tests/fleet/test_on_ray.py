"""Workers on Ray do what one process does, whatever becomes of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest
import torch

from meancache_plan.errors import InputError
from meancache_plan.fleet.crew import Alone
from tests.fleet.toy import Toy, calibrated

pytest.importorskip("ray", reason="needs the extra ray")

from ray.cluster_utils import Cluster

from meancache_plan.fleet.on_ray import RayCrew, Room, joined
from tests.fleet import work

ROOT = Path(__file__).parents[2]
MARK = "MEANCACHE_TEST"
ENVIRONMENT = {"PYTHONPATH": f"{ROOT}:{ROOT / 'runtime'}", "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def cluster() -> Generator[Cluster]:
    """Two nodes of one CPU each, one of which this process has joined."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        found = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
        found.add_node(num_cpus=1)
        patch.setenv("RAY_ADDRESS", found.address)
        with joined():
            yield found
        found.shutdown()


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The toy's profile without Ray, with as many threads as workers have."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    found = calibrated(Alone(Toy()), tmp_path_factory.mktemp("plain") / "profile")
    torch.set_num_threads(threads)
    return found


def test_a_unit_that_kills_its_workers_is_named_when_all_others_are_done(
    cluster: Cluster, tmp_path: Path
) -> None:
    found: list[tuple[int, str]] = []
    with pytest.raises(InputError, match=r"after 3 tries each: poison \(its worker died\);"):
        found.extend(work.crew(tmp_path, 2).do(work.begin, ["a", work.POISON, "b", "c"]))
    assert sorted(found) == [(0, "A"), (2, "B"), (3, "C")]
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {
        "a": "x", "b": "x", "c": "x", work.POISON: "xxx"
    }  # fmt: skip


def test_an_error_is_tried_again_and_what_is_refused_is_not(
    cluster: Cluster, tmp_path: Path
) -> None:
    crew = work.crew(tmp_path, 1)
    assert crew.in_order(work.begin, ["a", work.ERROR, "b"]) == ["A", "ERROR", "B"]
    with pytest.raises(InputError, match=r"^this is refused$"):
        crew.in_order(work.begin, [work.REFUSED])
    assert (tmp_path / work.ERROR).read_text() == "xx"
    assert (tmp_path / work.REFUSED).read_text() == "x"


def test_a_worker_that_differs_from_the_others_is_refused_by_name(
    cluster: Cluster, tmp_path: Path
) -> None:
    crew = RayCrew(partial(Path, tmp_path), work.process, Room(gpus=0), workers=1)
    with pytest.raises(InputError, match="the workers differ in their device"):
        crew.in_order(work.begin, [work.ERROR])  # for which another worker takes its place


@pytest.mark.parametrize("workers", [None, 2])
def test_more_than_a_cluster_has_is_refused(
    cluster: Cluster, tmp_path: Path, workers: int | None
) -> None:
    crew = RayCrew(partial(Path, tmp_path), work.agreeing, Room(gpus=2), workers)
    with pytest.raises(InputError, match="a worker takes 2 GPUs, but the cluster has 0"):
        crew.in_order(work.begin, ["a"])


def test_a_profile_has_the_same_bytes_though_a_worker_and_a_node_are_lost_and_a_node_joins(
    cluster: Cluster, plain: bytes, tmp_path: Path
) -> None:
    def change(done: int, _total: int) -> None:
        if done == 3:
            cluster.remove_node(next(iter(cluster.worker_nodes)))
        if done == 5:
            cluster.add_node(num_cpus=1)

    dies = tmp_path / "killed"
    assert calibrated(work.toys(dies=dies), tmp_path / "ours", change) == plain
    assert dies.exists()


def test_a_driver_that_is_stopped_leaves_no_process_and_goes_on_where_it_was(
    cluster: Cluster, plain: bytes, tmp_path: Path
) -> None:
    ours, told = tmp_path / "ours", []
    kept = stopped(ours, workers=1, how=signal.SIGKILL)
    assert stopped(ours, workers=2, how=signal.SIGINT) > kept
    assert calibrated(work.toys(), ours, lambda done, _: told.append(done)) == plain
    assert told[0] > kept


def stopped(profile: Path, workers: int, how: signal.Signals) -> int:
    """Stop a run on a Ray of its own when two more samples are done; say how many are."""
    mark = uuid4().hex
    environment = os.environ | ENVIRONMENT | {"RAY_ADDRESS": "local", MARK: mark}
    command = [sys.executable, "-m", "tests.fleet.work", str(profile), str(workers)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, env=environment, cwd=ROOT, text=True, **pipes) as running:
        told = iter(running.stdout.readline, "")
        begin = int(next(told))
        done = next(done for done in map(int, told) if done >= begin + 2)
        assert len(list(marked(mark))) > 1 + workers
        running.send_signal(how)
    patience = time.monotonic() + 60
    while any(marked(mark)) and time.monotonic() < patience:
        time.sleep(0.1)
    assert list(marked(mark)) == []
    assert not profile.exists()
    return done


def marked(mark: str) -> Iterator[str]:
    """The processes with this mark in their environment."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}".encode() in (process / "environ").read_bytes():
                yield (process / "cmdline").read_text().replace("\0", " ")
        except OSError:  # it has ended
            continue
