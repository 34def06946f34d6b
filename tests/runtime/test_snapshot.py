"""Schedules beside a model's weights: in a folder, in the hub's local cache, at the hub."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from diffusers import FluxPipeline

from meancache_plan.schedule.artifact import PlanEntry, Schedule, load_schedule, save_schedule
from meancache_runtime import attach
from meancache_runtime import load_schedule as load
from meancache_runtime.errors import ScheduleError, ScheduleNotFoundError
from meancache_runtime.predictors import Hold
from meancache_runtime.snapshot import FILE_NAME
from meancache_runtime.strict_json import MAX_BYTES
from tests.tiny import call_options

ROOT = Path(__file__).parents[2]
GOOD = ROOT / "tests" / "corpus" / "good" / "every-field.json"
COMMIT = "0123456789abcdef" * 2 + "01234567"
STEPS, KNOTS = 6, (0, 1, 3)

LOAD_EACH = """
import json, sys
sys.modules.update(dict.fromkeys(json.loads(sys.argv[2])))  # not installed
from meancache_runtime import load_schedule
from meancache_runtime.errors import MeanCacheError
for source, revision in json.loads(sys.argv[1]):
    try:
        print(json.dumps(load_schedule(source, revision=revision).budgets))
    except MeanCacheError as error:
        print(json.dumps([type(error).__name__, str(error)]))
"""


def load_each(
    cache: Path, *sources: tuple[str, str | None], missing: tuple[str, ...] = (), **settings: str
) -> list[Any]:
    """What loading each (source, revision) gives, in a process whose hub cache is ``cache``."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    settings = {"HF_HUB_CACHE": str(cache), "PYTHONPATH": str(ROOT / "runtime"), **settings}
    done = subprocess.run(
        [sys.executable, "-c", LOAD_EACH, json.dumps(sources), json.dumps(missing)],
        env=kept | settings,
        cwd=cache,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def snapshot(cache: Path, repository: str) -> Path:
    """An empty snapshot in a hub cache: the folder that ``main`` stands for."""
    folder = cache / f"models--{repository.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(COMMIT)
    (folder / "snapshots" / COMMIT).mkdir(parents=True)
    return folder / "snapshots" / COMMIT


def write_schedule(folder: Path) -> Path:
    """A schedule for any model, of ``KNOTS``."""
    made = load_schedule(GOOD)
    plan = PlanEntry(budget=len(KNOTS), knots=KNOTS, intervals=(Hold(),) * len(KNOTS))
    grid = made.grid.model_copy(update={"steps": STEPS, "sigmas": None})
    changes = {"model": None, "generation": None, "grid": grid, "plans": (plan,)}
    changes |= {"provenance": None}
    save_schedule(Schedule.model_validate(made.model_copy(update=changes)), folder / FILE_NAME)
    return folder / FILE_NAME


def test_a_folder_stands_for_the_schedule_in_it(tmp_path: Path):
    file = write_schedule(tmp_path)
    assert load(tmp_path) == load(str(tmp_path)) == load(file)
    assert load(file).plans[0].knots == KNOTS


def test_a_folder_without_a_schedule_is_refused_by_name(tmp_path: Path):
    shutil.copy(GOOD, tmp_path / "other.json")
    with pytest.raises(ScheduleNotFoundError, match=f"folder holds no {FILE_NAME}"):
        load(tmp_path)


def test_what_lies_in_a_folder_is_read_as_strictly_as_any_file(tmp_path: Path):
    (tmp_path / FILE_NAME).write_bytes(b" " * (MAX_BYTES + 1))
    with pytest.raises(ScheduleError, match="larger than"):
        load(tmp_path)
    (tmp_path / FILE_NAME).write_text("{}")
    with pytest.raises(ScheduleError, match="not a schedule"):
        load(tmp_path)


def test_a_pipe_or_a_folder_of_the_fixed_name_is_not_opened(tmp_path: Path):
    os.mkfifo(tmp_path / FILE_NAME)  # opening it would wait for ever
    with pytest.raises(ScheduleNotFoundError):
        load(tmp_path)


@pytest.mark.parametrize("source", ["missing/schedule.json", "../owner/name", "a/b/c", "owner"])
def test_what_is_no_hub_id_is_a_file_of_ones_own(source: str):
    with pytest.raises(ScheduleError, match="cannot be read"):
        load(source)
    with pytest.raises(ScheduleError, match="hub id"):
        load(source, revision="main")


def test_a_hub_id_is_found_in_the_local_cache_without_a_network(tmp_path: Path):
    blob = write_schedule(tmp_path)
    folder = snapshot(tmp_path, "owner/name")
    (folder / FILE_NAME).symlink_to(blob)  # as the cache keeps files
    snapshot(tmp_path, "owner/bare")
    found = load_each(
        tmp_path,
        ("owner/name", None),
        ("owner/name", COMMIT),
        ("owner/name", "v2"),
        ("owner/bare", None),
        ("owner/unknown", None),
        HF_HUB_OFFLINE="1",
    )
    assert found[:2] == [[len(KNOTS)]] * 2
    for name, (kind, message) in zip(("name at v2", "bare", "unknown"), found[2:], strict=True):
        assert kind == "ScheduleNotFoundError"
        assert message.startswith(f"owner/{name}: no {FILE_NAME}: it is not in the local cache")


def test_without_the_hubs_library_a_hub_id_is_refused_with_the_fix(tmp_path: Path):
    ((kind, message),) = load_each(tmp_path, ("owner/name", None), missing=("huggingface_hub",))
    assert kind == "ScheduleNotFoundError"
    assert "pip install huggingface_hub" in message


@pytest.fixture
def hub(tmp_path: Path) -> Generator[str]:
    """The address of a hub with two repositories; only ``owner/name`` has a schedule."""
    content = write_schedule(tmp_path).read_bytes()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(content))
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def _handler(content: bytes) -> type[BaseHTTPRequestHandler]:
    class Hub(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            refused = {"gone": "RepoNotFound", "bare": "EntryNotFound", "gated": "GatedRepo"}
            code = refused.get(self.path.split("/")[2])
            code = "RevisionNotFound" if "/v2/" in self.path else code
            self.send_response(404 if code else 200)
            self.send_header("ETag", '"1"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Content-Length", str(len(content)))
            if code:
                self.send_header("X-Error-Code", code)
            self.end_headers()

        def do_GET(self) -> None:
            self.do_HEAD()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None: ...

    return Hub


def test_a_hub_id_is_downloaded_once_and_what_the_hub_refuses_is_said(tmp_path: Path, hub: str):
    cache = tmp_path / "cache"
    cache.mkdir()
    sources = [("owner/name", None), ("owner/name", "v2"), ("owner/bare", None)]
    sources += [("owner/gone", None), ("owner/gated", None)]
    done, *refused = load_each(cache, *sources, HF_ENDPOINT=hub)
    assert done == [len(KNOTS)]
    reasons = ("no such revision", "the repository holds none", "no such repository", "is gated")
    for (kind, message), reason in zip(refused, reasons, strict=True):
        assert (kind, reason in message) == ("ScheduleNotFoundError", True), message
    assert load_each(cache, ("owner/name", None), HF_HUB_OFFLINE="1") == [[len(KNOTS)]]


def test_a_pipeline_from_a_folder_follows_the_schedule_beside_its_weights(
    tmp_path: Path, tiny_flux: FluxPipeline
):
    tiny_flux.save_pretrained(tmp_path)
    write_schedule(tmp_path)
    pipe = FluxPipeline.from_pretrained(tmp_path)
    pipe.set_progress_bar_config(disable=True)
    with attach(pipe, budget=len(KNOTS)) as attached:
        pipe("a cat", **call_options(STEPS))
    assert attached.stats.refreshes == len(KNOTS)


def test_a_pipeline_from_the_hub_follows_the_schedule_in_its_snapshot(
    tmp_path: Path, tiny_flux: FluxPipeline
):
    folder = snapshot(tmp_path, "owner/name")
    tiny_flux.save_pretrained(folder)
    pipe = FluxPipeline.from_pretrained("owner/name", cache_dir=tmp_path, local_files_only=True)
    pipe.set_progress_bar_config(disable=True)
    with pytest.raises(ScheduleNotFoundError) as refused:
        attach(pipe, budget=len(KNOTS))
    assert str(folder) in str(refused.value)
    assert f"load_schedule('owner/name', revision='{COMMIT}')" in str(refused.value)
    write_schedule(folder)
    with attach(pipe) as attached:
        pipe("a cat", **call_options(STEPS))
    assert attached.stats.refreshes == len(KNOTS)


def test_the_snapshot_of_another_model_is_not_searched(tmp_path: Path, tiny_flux: FluxPipeline):
    folder = snapshot(tmp_path, "other/name")
    write_schedule(folder)
    tiny_flux.transformer.register_to_config(_name_or_path=str(folder / "transformer"))
    tiny_flux.register_to_config(_name_or_path="owner/name")
    with pytest.raises(ScheduleNotFoundError, match=f"no {FILE_NAME} in the local cache"):
        attach(tiny_flux)


def test_a_pipeline_without_a_schedule_beside_it_says_where_one_was_looked_for(
    tmp_path: Path, tiny_flux: FluxPipeline
):
    with pytest.raises(ScheduleNotFoundError, match="was not loaded from a folder"):
        attach(tiny_flux, budget=3)
    tiny_flux.register_to_config(_name_or_path=str(tmp_path))
    with pytest.raises(ScheduleNotFoundError) as refused:
        attach(tiny_flux, budget=3)
    assert str(tmp_path / FILE_NAME) in str(refused.value)


def test_a_path_in_a_folder_of_yours_is_never_taken_for_a_hub_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "release").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ScheduleError, match=r"release/mine: cannot be read \(No such file"):
        load("release/mine")


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        (None, "NoneType"),
        (3, "int"),
        (["a"], "list"),
        (b"folder", "b'folder'"),
        ("a\0b", r"'a\x00b'"),
        ("a/b\0" + "c" * 5000, r"'a/b\x00ccc"),
    ],
)
def test_what_is_no_path_is_refused_by_its_kind(source: Any, shown: str) -> None:
    with pytest.raises(ScheduleError, match=f"^{re.escape(shown)}.* is no path: give the path"):
        load(source)
