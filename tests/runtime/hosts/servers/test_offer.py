"""What a server offers by its environment, and what a request chooses of that."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from meancache_runtime.errors import BudgetError, ScheduleError, ScheduleNotFoundError
from meancache_runtime.hosts.servers.offer import BUDGET, SCHEDULE, Offer, is_offered
from meancache_runtime.schedule import to_document
from tests.runtime.hosts.servers.conftest import FAKES
from tests.runtime.hosts.servers.world import BUDGET as FEW
from tests.runtime.hosts.servers.world import EVERY, STEPS, write
from tests.runtime.hosts.servers.world import SCHEDULE as PLANS

RUNTIME = Path(__file__).parents[4] / "runtime"


def offer(budget: str | None = None, *files: Path | str) -> Offer:
    environment = {SCHEDULE: os.pathsep.join(map(str, files))}
    return Offer(environment if budget is None else environment | {BUDGET: budget})


@pytest.fixture
def both(tmp_path: Path) -> Path:
    """One schedule of two plans."""
    document = to_document(PLANS, FEW)
    document["plans"] += to_document(EVERY, STEPS)["plans"]
    file = tmp_path / "both.json"
    file.write_text(json.dumps(document))
    return file


def test_an_environment_that_says_nothing_offers_nothing() -> None:
    assert not is_offered({})
    assert not is_offered({SCHEDULE: " ", BUDGET: ""})
    assert is_offered({SCHEDULE: "x"})
    assert is_offered({BUDGET: "5"})


@pytest.mark.parametrize("name", ["vllm_omni", "sglang"])
def test_a_plug_in_where_nothing_is_offered_imports_neither_a_server_nor_torch(name: str) -> None:
    source = (
        f"import sys; from meancache_runtime.hosts.servers.plugins import {name}; {name}(); "
        "print(sorted({'torch', 'diffusers', 'vllm_omni', 'sglang'} & set(sys.modules)))"
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MEANCACHE_")}
    done = subprocess.run(
        [sys.executable, "-c", source],
        env=environment | {"PYTHONPATH": os.pathsep.join([str(RUNTIME), str(FAKES)])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"


def test_requests_follow_the_servers_budget_or_their_own(both: Path) -> None:
    offered = offer(f" {FEW} ", both)
    assert str(offered.choose({})) == f"both, budget {FEW}"
    chosen = offered.choose({"meancache_budget": STEPS, "seed": 3})
    assert chosen is not None
    assert chosen.budget == STEPS
    assert offered.choose({"meancache_budget": 0}) is None


def test_what_a_request_says_null_of_is_as_if_it_said_nothing(both: Path) -> None:
    nothing = dict.fromkeys(("meancache_schedule", "meancache_budget"))
    assert str(offer(str(STEPS), both).choose(nothing)) == f"both, budget {STEPS}"


def test_a_server_of_budget_zero_plans_for_those_who_ask(both: Path) -> None:
    offered = offer("0", both)
    assert offered.choose({}) is None
    assert str(offered.choose({"meancache_budget": FEW})) == f"both, budget {FEW}"


def test_the_budget_may_be_left_out_where_there_is_one_plan(tmp_path: Path, both: Path) -> None:
    assert str(offer(None, write(tmp_path)).choose({})) == f"few, budget {FEW}"
    with pytest.raises(BudgetError, match=f"both: say which budget, as {BUDGET}.* {FEW}, {STEPS}"):
        offer(None, both)


def test_a_request_chooses_among_several_schedules_by_name(tmp_path: Path, both: Path) -> None:
    folder = tmp_path / "kit"
    folder.mkdir()
    write(folder, "meancache_schedule", EVERY)
    offered = offer(str(FEW), both, folder)
    assert str(offered.choose({"meancache_schedule": "kit"})) == f"kit, budget {STEPS}"
    assert str(offered.choose({"meancache_schedule": "both"})) == f"both, budget {FEW}"
    with pytest.raises(ScheduleNotFoundError, match="no schedule 'other'; it offers both, kit"):
        offered.choose({"meancache_schedule": "other"})
    with pytest.raises(ScheduleNotFoundError, match="no schedule"):
        offered.choose({"meancache_schedule": ["both"]})


def test_two_schedules_of_one_name_are_refused(tmp_path: Path) -> None:
    file = write(tmp_path)
    with pytest.raises(ScheduleError, match='two schedules "few": rename'):
        offer(None, file, file)


@pytest.mark.parametrize(
    ("wishes", "message"),
    [
        ({"meancache_budget": 7}, "few: .*no plan for budget 7; it has 5.*meancache_budget 0"),
        ({"meancache_budget": "5"}, "give an integer"),
        ({"meancache_budget": True}, "give an integer"),
        ({"meancache_budget": False}, "give an integer"),
        ({"meancache_buget": 5}, "meancache_buget is not known: .*meancache_budget"),
        ({"meancache_" + "x" * 5000: 5}, r"^meancache_x{47}\.\.\. is not known"),
        (["meancache_budget"], "extra parameters are a list: give an object"),
        ("meancache_budget", "extra parameters are a str: give an object"),
    ],
)
def test_wishes_that_cannot_be_met_are_refused(tmp_path: Path, wishes: Any, message: str) -> None:
    with pytest.raises((BudgetError, ScheduleError), match=message):
        offer(None, write(tmp_path)).choose(wishes)


@pytest.mark.parametrize("budget", ["-1", "5.0", "five", "9" * 5000])
def test_a_budget_that_is_no_number_is_refused(tmp_path: Path, budget: str) -> None:
    with pytest.raises(BudgetError, match=f"{BUDGET} is .*: set it to an integer"):
        offer(budget, write(tmp_path))


def test_what_a_server_cannot_offer_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ScheduleError, match=f"{BUDGET} is set, but no schedule"):
        Offer({BUDGET: "5"})
    with pytest.raises(ScheduleError, match=f"^{SCHEDULE} names no schedule: .*unset {SCHEDULE}$"):
        Offer({SCHEDULE: os.pathsep})
    with pytest.raises(ScheduleError, match=f"{SCHEDULE}: .*missing.json: cannot be read"):
        offer(None, tmp_path / "missing.json")
    with pytest.raises(ScheduleError, match=f"{SCHEDULE}: .*n: cannot be read"):
        offer(None, "n" * 300)
    with pytest.raises(ScheduleNotFoundError, match=f"{SCHEDULE}: .*holds no meancache_schedule"):
        offer(None, tmp_path)
    with pytest.raises(BudgetError, match="no plan for budget 6"):
        offer("6", write(tmp_path))
