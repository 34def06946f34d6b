"""The node for ComfyUI: what it declares, what it gives, and what it refuses."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

from integrations.comfyui import comfy_entrypoint
from integrations.comfyui.check import main
from integrations.comfyui.picture import EXAMPLE, picture
from meancache_plan.source.catalog import schedule_files
from meancache_runtime import __version__, load_schedule
from meancache_runtime.errors import (
    BudgetError,
    GridMismatchError,
    ScheduleNotFoundError,
    StepCountError,
)

PACKAGE = EXAMPLE.parent.parent
FILES = schedule_files()
REFERENCE = next(path for name, path in FILES.items() if "reference" in name)
WITHOUT_GRID = next(path for p, path in FILES.items() if load_schedule(path).grid.sigmas is None)

pytestmark = pytest.mark.usefixtures("comfyui")


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, comfyui: None) -> Any:
    """The node, in a ComfyUI whose models' folder holds two schedules."""
    import folder_paths

    monkeypatch.setattr(folder_paths, "models_dir", str(tmp_path))
    (tmp_path / "meancache").mkdir()
    shutil.copy(REFERENCE, tmp_path / "meancache" / "reference.json")
    shutil.copy(WITHOUT_GRID, tmp_path / "meancache" / "published.json")
    (tmp_path / "meancache" / "notes.txt").touch()
    with ThreadPoolExecutor(1) as aside:  # a browser's tests leave a loop running in this thread
        extension = aside.submit(asyncio.run, comfy_entrypoint()).result()
        (made,) = aside.submit(asyncio.run, extension.get_node_list()).result()
    return made


def test_it_declares_what_comfyui_shows(node: Any) -> None:
    schema = node.define_schema()
    declared = {i.id: (i.io_type, i.declared) for i in schema.inputs}
    assert {name: kind for name, (kind, _) in declared.items()} == {
        "schedule": "COMBO",
        "budget": "INT",
        "path": "STRING",
        "sigmas": "SIGMAS",
    }
    assert declared["schedule"][1]["options"] == ["published.json", "reference.json", "from path"]
    assert declared["sigmas"][1]["optional"]
    assert [o.io_type for o in schema.outputs] == ["SAMPLER", "SIGMAS"]


def test_it_gives_a_sampler_and_the_schedules_own_noise_levels(node: Any) -> None:
    sampler, sigmas = node.execute("reference.json", 10).args
    assert sigmas.dtype == torch.float32
    assert sigmas.tolist() == list(load_schedule(REFERENCE).grid.sigmas or ())
    assert callable(sampler.sampler_function)


def test_a_path_may_lead_anywhere_on_this_machine_and_no_further(node: Any, tmp_path: Path) -> None:
    expected = node.execute("reference.json", 10).args[1]
    assert torch.equal(node.execute("from path", 10, f' "{REFERENCE}" ').args[1], expected)
    shutil.copy(REFERENCE, tmp_path / "meancache_schedule.json")
    assert torch.equal(node.execute("from path", 10, str(tmp_path)).args[1], expected)
    for path in ("", "no/such.json", "owner/name"):
        with pytest.raises(ScheduleNotFoundError, match="on this machine"):
            node.execute("from path", 10, path)
    with pytest.raises(ScheduleNotFoundError, match=r"gone\.json"):
        node.execute("gone.json", 10)


def test_noise_levels_that_come_in_are_checked_and_passed_on(node: Any) -> None:
    own = node.execute("reference.json", 10).args[1]
    near = own.clone()
    near[1:-1] -= 1e-3
    assert node.execute("reference.json", 10, sigmas=near).args[1] is near
    with pytest.raises(GridMismatchError, match="differ by"):
        node.execute("reference.json", 10, sigmas=own**3)
    with pytest.raises(StepCountError, match="take 50 steps"):
        node.execute("reference.json", 10, sigmas=own[::2])


def test_a_schedule_of_any_grid_asks_for_noise_levels(node: Any) -> None:
    budget = load_schedule(WITHOUT_GRID).budgets[0]
    with pytest.raises(GridMismatchError, match="connect sigmas"):
        node.execute("published.json", budget)
    sigmas = torch.linspace(1, 0, 51)
    assert node.execute("published.json", budget, sigmas=sigmas).args[1] is sigmas


def test_a_wrong_choice_is_told_before_the_graph_runs(node: Any, tmp_path: Path) -> None:
    assert node.validate_inputs("reference.json", 10, "") is True
    assert node.validate_inputs("reference.json", None, "") is True
    with pytest.raises(BudgetError) as told:
        node.execute("reference.json", 9)
    assert node.validate_inputs("reference.json", 9, "") == str(told.value)
    assert "no such schedule" in node.validate_inputs("from path", 10, "gone")
    broken = tmp_path / "broken.json"
    broken.write_text("{}")
    assert "not a schedule" in node.validate_inputs("from path", 10, str(broken))


def test_a_file_that_changed_is_read_again(node: Any, tmp_path: Path) -> None:
    before = node.fingerprint_inputs("reference.json", path="", budget=10, sigmas=None)
    assert before == node.fingerprint_inputs("from path", path=str(REFERENCE), budget=10)
    shutil.copy(WITHOUT_GRID, tmp_path / "meancache" / "reference.json")
    assert node.fingerprint_inputs("reference.json") != before


def test_the_example_connects_what_the_node_has(node: Any) -> None:
    example = json.loads(EXAMPLE.read_text(encoding="utf-8"))
    schema = node.define_schema()
    (ours,) = [n for n in example["nodes"] if n["type"] == schema.node_id]
    values = dict(zip(("schedule", "budget", "path"), ours["widgets_values"], strict=True))
    assert [i.id for i in schema.inputs][:3] == list(values)
    assert [o["type"] for o in ours["outputs"]] == [o.io_type for o in schema.outputs]
    (sampling,) = [n for n in example["nodes"] if n["type"] == "SamplerCustomAdvanced"]
    links = {link[0]: link for link in example["links"]}
    ends = {i["name"]: links[i["link"]][1:3] for i in sampling["inputs"]}
    assert ends["sampler"] == [ours["id"], 0]
    assert ends["sigmas"] == [ours["id"], 1]


def test_the_picture_is_that_of_the_example() -> None:
    drawn = (PACKAGE / "workflow.svg").read_text(encoding="utf-8")
    assert drawn == picture(json.loads(EXAMPLE.read_text(encoding="utf-8")))


def test_the_package_says_what_comfyuis_registry_asks_for() -> None:
    content = tomllib.loads((PACKAGE / "pyproject.toml").read_text(encoding="utf-8"))
    project, comfy = content["project"], content["tool"]["comfy"]
    assert project["version"] == __version__
    assert project["dependencies"] == [f"meancache-runtime=={__version__}"]
    assert (PACKAGE / "requirements.txt").read_text().split() == project["dependencies"]
    assert comfy["DisplayName"]
    assert comfy["requires-comfyui"]


def test_nothing_of_comfyui_is_imported_until_it_asks() -> None:
    code = "import sys, integrations.comfyui as p; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=PACKAGE.parents[1]).returncode == 0


def test_the_check_says_how_it_is_called(tmp_path: Path, capsys: Any) -> None:
    assert main([str(tmp_path)]) == 2
    assert "PATH_TO_COMFYUI" in capsys.readouterr().err
