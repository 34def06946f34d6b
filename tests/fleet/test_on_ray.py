"""Workers on Ray do what one process does, whatever becomes of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import numpy as np
import pytest
import torch

from meancache_plan import load_profile, save_profile
from meancache_plan.cli.loading_options import Loading
from meancache_plan.cli.ray_options import Fleet
from meancache_plan.errors import InputError
from meancache_plan.measure.calibrate import calibrate
from tests.commands import run
from tests.fleet.toy import Toy, calibrated, toys

pytest.importorskip("ray", reason="needs the extra ray")

from ray.cluster_utils import Cluster

from meancache_plan.fleet import on_ray
from meancache_plan.fleet.on_ray import RayCrew, joined
from meancache_plan.fleet.room import Room
from tests.fleet import gang, work

pytestmark = pytest.mark.early(3)

ROOT = Path(__file__).parents[2]
MARK = "MEANCACHE_TEST"
NODE = {"num_cpus": 1, "include_dashboard": False}
ENVIRONMENT = {
    "PYTHONPATH": f"{ROOT}:{ROOT / 'runtime'}",
    "OMP_NUM_THREADS": "1",
    "RAY_prestart_worker_first_driver": "0",  # which no actor would use
    "RAY_worker_niceness": "0",  # by default they wait for whatever else runs
}


@pytest.fixture(scope="module")
def cluster() -> Generator[Cluster]:
    """Two nodes of one CPU each, one of which this process has joined."""
    with pytest.MonkeyPatch.context() as change, work.patience():
        for name, value in ENVIRONMENT.items():
            change.setenv(name, value)
        found = Cluster(initialize_head=True, head_node_args=NODE)
        found.add_node(**NODE)
        change.setenv("RAY_ADDRESS", found.address)
        with joined():
            yield found
        found.shutdown()


@pytest.fixture
def one_thread() -> Generator[None]:
    """As many threads as workers have."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_what_fails_or_hangs_is_tried_again_and_what_kills_workers_is_named_when_all_is_done(
    cluster: Cluster, tmp_path: Path
) -> None:
    found: list[tuple[int, str]] = []
    units = ["a", work.POISON, work.ERROR, work.HANGS, "b"]
    with pytest.raises(InputError, match=r"after 3 tries each: poison \(its worker died\);"):
        found.extend(work.crew(tmp_path, 2).do(work.begin, units))
    assert sorted(found) == [(0, "A"), (2, "ERROR"), (3, "HANGS"), (4, "B")]
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {
        "a": "x", "b": "x", work.ERROR: "xx", work.HANGS: "xx", work.POISON: "xxx"
    }  # fmt: skip


def test_a_worker_stays_while_it_is_changed_may_die_idle_and_does_not_repeat_what_is_refused(
    cluster: Cluster, tmp_path: Path
) -> None:
    crew = work.crew(tmp_path, 1, tries=1)
    [process] = crew.in_order(work.pid, ["a"])
    with crew.changed(work.inner) as changed:
        assert changed.ask(str) == str(tmp_path / "inner")
        with changed.changed(work.inner) as twice:
            assert twice.ask(str) == str(tmp_path / "inner" / "inner")
        assert changed.in_order(work.pid, ["a"]) == [process]
        os.kill(process, signal.SIGKILL)
        [other] = changed.in_order(work.pid, ["a"])
        assert changed.ask(str) == str(tmp_path / "inner")
    assert crew.ask(str) == str(tmp_path)
    assert crew.in_order(work.pid, ["a"]) == [other] != [process]
    with pytest.raises(InputError, match=r"^this is refused$"):
        crew.in_order(work.begin, [work.REFUSED])
    assert (tmp_path / work.REFUSED).read_text() == "x"


def test_workers_that_hang_at_their_start_are_replaced_so_many_times_and_named(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    hired: list[object] = []

    def hire(*given: Any) -> object:
        hired.append(make(*given))
        return hired[-1]

    make = on_ray._Worker
    monkeypatch.setattr(on_ray, "_Worker", hire)
    monkeypatch.setattr(on_ray, "PAUSE", 0.2)
    crew = RayCrew(partial(time.sleep, 600), work.agreeing, Room(gpus=0), 1, tries=2, patience=0.6)
    with pytest.raises(InputError, match=r"no worker starts: still loading after 0\.01 minutes"):
        crew.in_order(work.pid, ["a"])
    assert len(hired) == 2


def test_a_worker_that_differs_from_the_others_is_refused_by_name(
    cluster: Cluster, tmp_path: Path
) -> None:
    crew = RayCrew(partial(Path, tmp_path), work.process, Room(gpus=0), workers=1)
    with pytest.raises(InputError, match="the workers differ in their device"):
        crew.in_order(work.begin, [work.ERROR])  # for which another worker takes its place


def test_workers_that_cannot_start_are_refused_with_the_reason(
    cluster: Cluster, tmp_path: Path
) -> None:
    crew = RayCrew(partial(int, "none"), work.agreeing, Room(gpus=0), workers=1, tries=1)
    with pytest.raises(InputError, match="no worker starts: ValueError: invalid literal"):
        crew.in_order(work.begin, ["a"])


@pytest.mark.parametrize("workers", [None, 2])
def test_more_than_a_cluster_has_is_refused(
    cluster: Cluster, tmp_path: Path, workers: int | None
) -> None:
    crew = RayCrew(partial(Path, tmp_path), work.agreeing, Room(gpus=2), workers)
    with pytest.raises(InputError, match="a worker takes 2 GPUs, but the cluster has 0"):
        crew.in_order(work.begin, ["a"])


def test_a_gang_that_loses_a_member_starts_again_as_a_whole(
    cluster: Cluster, tmp_path: Path
) -> None:
    crew = RayCrew(partial(Path, tmp_path), work.agreeing, Room(gpus=0, gang=2), 1, tries=2)
    assert crew.in_order(gang.summing, [1, 2]) == [1 + 2, 2 + 3]
    crew.dismiss()
    assert (tmp_path / "died").exists()


def test_a_gang_that_shares_weights_or_tokens_measures_what_one_process_does(
    cluster: Cluster, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_ray, "joined", nullcontext)
    loading, samples = Loading("model", "tiny.toml"), ([gang.PROMPT], [gang.SEED])
    plain = replace(loading, device="cpu").load()
    alone = calibrate(plain, *samples, tmp_path / "alone")
    with Fleet(True, workers=1, gpus=None, gang=2).crew(loading) as crew:
        ours = calibrate(crew, *samples, tmp_path / "gang")
        tokens = crew.ask(partial(gang.by_tokens, str(model)))
        crew.dismiss()
    assert ours.settings.versions["parallel"] == "fsdp of 2"
    assert "parallel" not in alone.settings.versions
    for name, values in alone.tensors().items():
        if name != "seconds":
            rounding = 0.05 if name == "propagation" else 1e-3  # of small errors: more of it
            np.testing.assert_allclose(ours.tensors()[name], values, rounding, 1e-5, err_msg=name)
    torch.testing.assert_close(
        tokens, plain.record(gang.PROMPT, gang.SEED)[0].latents, rtol=0, atol=1e-5
    )


def test_two_workers_measure_the_reference_pipeline_to_the_same_bytes_as_one_process(
    cluster: Cluster, one_thread: None, cwd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_ray, "joined", nullcontext)
    (cwd / "prompts.txt").write_text("two red squares\na blue disc\n")
    few = ("calibrate", "reference", "--steps", "4", "--prompts", "prompts.txt", "--seeds", "0-1")
    run(*few, "--device", "cpu", "-o", "alone")
    run(*few, "--ray", "--workers", "2", "--gpus-per-worker", "0", "-o", "two")
    for name in ("alone", "two"):
        found = load_profile(cwd / name)
        save_profile(replace(found, seconds=0 * found.seconds), cwd / name)
    assert (cwd / "two").read_bytes() == (cwd / "alone").read_bytes()


def test_a_profile_has_the_same_bytes_though_its_driver_a_worker_and_a_node_are_lost(
    cluster: Cluster, one_thread: None, tmp_path: Path
) -> None:
    def change(done: int, _total: int) -> None:
        told.append(done)
        if done == 6:
            cluster.add_node(**NODE)
        if done == 8:
            cluster.remove_node(next(iter(cluster.worker_nodes)))

    ours, dies, told = tmp_path / "ours", tmp_path / "killed", []
    with running("tests.fleet.toy", ours, 1) as driver:
        assert driver.stopped(3, signal.SIGKILL)
    assert not ours.exists()
    plain = calibrated(Toy(), tmp_path / "plain")
    assert calibrated(toys(dies=dies), ours, change) == plain
    assert told[0] >= 3
    assert dies.exists()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_what_is_stopped_with_a_cluster_of_its_own_leaves_no_process(
    tmp_path: Path, how: signal.Signals
) -> None:
    with running("tests.fleet.work", tmp_path, RAY_ADDRESS="local") as driver:
        assert driver.stopped(1, how, least=5)


class Running(NamedTuple):
    """A command that prints numbers, and a mark that all of its processes bear."""

    command: subprocess.Popen[str]
    mark: str

    def stopped(self, at: int, how: signal.Signals, least: int = 1) -> bool:
        """Stop it once it has printed a number; say whether all of its processes end.

        ``least``: how many they are, or more.
        """
        assert self.command.stdout is not None
        told = map(int, iter(self.command.stdout.readline, ""))
        assert next(number for number in told if number >= at) >= at
        assert len(list(marked(self.mark))) >= least
        self.command.send_signal(how)
        patience = time.monotonic() + 120
        while any(marked(self.mark)) and time.monotonic() < patience:
            time.sleep(0.1)
        return not any(marked(self.mark))


@contextmanager
def running(module: str, *arguments: object, **environment: str) -> Generator[Running]:
    """A command on workers, which are killed at the latest when this ends."""
    mark = uuid4().hex
    given = os.environ | ENVIRONMENT | environment | {MARK: mark}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    command = [sys.executable, "-m", module, *map(str, arguments)]
    with subprocess.Popen(command, env=given, cwd=ROOT, text=True, **pipes) as process:
        try:
            yield Running(process, mark)
        finally:
            process.kill()


def marked(mark: str) -> Iterator[str]:
    """The processes with this mark in their environment."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}".encode() in (process / "environ").read_bytes():
                yield (process / "cmdline").read_text().replace("\0", " ")
        except OSError:  # it has ended
            continue
