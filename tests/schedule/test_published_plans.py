"""Published plans into schedules: what is shipped, what is read, and what is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from meancache_plan import load_schedule
from meancache_plan.cli import main
from meancache_plan.errors import InputError
from meancache_plan.schedule.published_plans import PublishedPlans, load_plans, to_schedule
from meancache_plan.source import catalog
from meancache_runtime.predictors import Hold, Released
from tests.schedule.masks import changed

SCHEDULES = Path(__file__).parents[2] / "schedules"
PUBLISHED = SCHEDULES / "published.json"
SHIPPED = ["qwen-image-2512/50-steps", "qwen-image/50-steps", "z-image/50-steps"]

BARE = {
    "steps": 8,
    "budgets": {
        "3": {"fresh_steps": [0, 2, 7], "edge_span": [1, 3]},
        "2": {"fresh_steps": [0, 4], "edge_span": [1, 2]},
    },
}
"""In "3" step 7 is the last; in "2" steps 5 to 7 are cached after the last fresh one."""


def command(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stop:
        main(["import-plans", *map(str, arguments)])
    return int(stop.value.code or 0)


def write(path: Path, value: Any) -> Path:
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return path


def test_the_shipped_schedules_are_what_the_command_makes_of_the_published_plans(tmp_path):
    assert command(PUBLISHED, "-o", tmp_path) == 0
    made = {f"{path.parent.name}/{path.stem}": path for path in tmp_path.glob("*/*")}
    shipped = catalog.schedule_files()
    assert sorted(made) == SHIPPED
    for name, path in made.items():
        assert path.read_bytes() == shipped[name].read_bytes()


def test_every_published_budget_is_shipped_with_its_fresh_steps():
    models = json.loads(PUBLISHED.read_text())["models"]
    schedules = [load_schedule(catalog.schedule_files()[name]) for name in SHIPPED]
    assert {schedule.model.id for schedule in schedules if schedule.model} == set(models)
    for schedule in schedules:
        assert schedule.model is not None
        listed = models[schedule.model.id]
        found = {str(plan.budget): list(plan.knots) for plan in schedule.plans}
        expected = {budget: entry["fresh_steps"] for budget, entry in listed["budgets"].items()}
        assert found == expected
        assert schedule.grid.steps == listed["steps"] == 50
        assert schedule.grid.sigmas is None


def test_published_plans_by_hand():
    plan = load_schedule(SCHEDULES / "qwen-image-2512" / "50-steps.json").plans[0]
    spans = [1, 3, 1, 1, 1, 1, 1, 1, 4]
    assert plan.knots == (0, 2, 4, 7, 14, 21, 28, 35, 42, 49)
    assert plan.intervals == (*(Released(span) for span in spans), Hold())


def test_the_catalog_has_the_reference_schedule_beside_the_published_ones():
    files = catalog.schedule_files()
    assert set(files) >= {*SHIPPED, "reference/50-steps"}
    assert all(path.is_file() for path in files.values())


@pytest.mark.parametrize("spans", [[0, 0, 3], [0, 0, 3, 0], [7, 9, 3, 9]])
def test_a_span_without_cached_steps_is_ignored_and_the_last_may_be_left_out(spans):
    entry = {"fresh_steps": [0, 1, 2, 7], "edge_span": spans}
    listed = PublishedPlans.model_validate_json(json.dumps({"steps": 8, "budgets": {"4": entry}}))
    plan = to_schedule("owner/model", listed).plans[0]
    held = Hold()
    assert plan.intervals == (held, held, Released(3), held)


def test_cached_steps_after_the_last_fresh_one_have_a_span_of_their_own():
    listed = PublishedPlans.model_validate_json(json.dumps(BARE))
    small, large = to_schedule("owner/model", listed).plans
    assert (small.budget, large.budget) == (2, 3)
    assert small.intervals == (Released(1), Released(2))
    assert large.intervals[-1] == Hold()


def test_one_models_plans_go_into_one_file(tmp_path, capsys):
    file = tmp_path / "mine.json"
    assert command(PUBLISHED, "--model", "Qwen/Qwen-Image", "-o", file) == 0
    assert file.read_bytes() == catalog.schedule_files()["qwen-image/50-steps"].read_bytes()
    assert "Qwen/Qwen-Image, 50 steps, budgets 10, 17, 25" in capsys.readouterr().out


def test_plans_that_name_no_model_are_named_by_the_option(tmp_path):
    listed = write(tmp_path / "plans.json", BARE)
    assert command(listed, "--model", "my/model", "-o", tmp_path / "mine.json") == 0
    schedule = load_schedule(tmp_path / "mine.json")
    assert schedule.model is not None
    assert schedule.model.id == "my/model"
    with pytest.raises(InputError, match="--model"):
        load_plans(listed)


@pytest.mark.parametrize(
    ("place", "value", "reason"),
    [
        ("steps", None, '"steps" is missing'),
        ("steps", 0, "steps: is out of range: at least 1"),
        ("steps", 8.0, "steps: must be an integer"),
        ("steps", 7, "budgets.3.fresh_steps: 7 is not among the steps 0 to 6"),
        ("steps", 9, "budgets.3.edge_span: 2 entries for 3 fresh steps"),
        ("step", 8, 'unknown key "step"'),
        ("budgets", {}, "budgets: must have at least 1 entries"),
        ("budgets/4", BARE["budgets"]["3"], "budgets.4: has 3 fresh steps"),
        ("budgets/03", BARE["budgets"]["3"], "budgets.03: has 3 fresh steps: .* name it 3"),
        ("budgets/3/fresh_steps", [], "fresh_steps: must have at least 1"),
        ("budgets/3/fresh_steps", [1, 2, 7], "budgets.3: fresh_steps: starts at 1"),
        ("budgets/3/fresh_steps", [0, 7, 2], "fresh_steps: 2 comes after 7.*ascending"),
        ("budgets/3/fresh_steps", [0, 2, 2], "fresh_steps: 2 comes after 2.*once"),
        ("budgets/3/fresh_steps", [0, True, 7], r"budgets.3.fresh_steps\[1\]: must be an integer"),
        ("budgets/3/fresh_steps", [0, 2, -7], r"fresh_steps\[2\]: is out of range"),
        ("budgets/3/edge_span", None, 'budgets.3: "edge_span" is missing'),
        ("budgets/3/edge_span", [1], "edge_span: 1 entries for 3 fresh steps"),
        ("budgets/3/edge_span", [1, 3, 0, 0], "edge_span: 4 entries for 3 fresh steps"),
        ("budgets/3/edge_span", [0, 3], r"edge_span\[0\]: 0, but steps 1 to 1 are cached"),
        ("budgets/3/edge_span", [2, 3], r"edge_span\[0\]: 2 reaches before step 0.*at most 1"),
        ("budgets/3/edge_span", [1, 4], r"edge_span\[1\]: 4 reaches before step 0.*at most 3"),
        ("budgets/3/edge_span", [1, -1], r"edge_span\[1\]: is out of range"),
        ("budgets/2/edge_span", [1], "from 4 to the end included"),
        ("sigmas", [1.0, 0.5], "sigmas: 2 values: give one for each of 8"),
        ("sigmas", [1.0] * 8, "sigmas, and 0 after them: .*not strictly monotone"),
    ],
)
def test_bad_plans_are_refused_with_the_place_and_the_reason(tmp_path, place, value, reason):
    file = write(tmp_path / "plans.json", changed(BARE, place, value))
    with pytest.raises(InputError, match=reason) as refusal:
        load_plans(file, "my/model")
    assert str(refusal.value).startswith(f"{file}: ")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not JSON"),
        ("[]", "must be an object"),
        ('{"steps": 8, "steps": 9}', 'duplicate key "steps"'),
        ('{"models": {}}', "models: must have at least 1"),
        ('{"models": {"": {"steps": 8}}}', "empty"),
        ('{"models": {"a/b": 1}}', "models.a/b: must be an object"),
        ('{"semantics": "paper", "models": {}}', '"paper" is unknown.*released'),
        (json.dumps({"notes": "", "models": {"a/b": BARE}}), 'unknown key "notes"'),
    ],
)
def test_bad_files_are_refused(tmp_path, text, reason):
    with pytest.raises(InputError, match=reason):
        load_plans(write(tmp_path / "plans.json", text), "my/model")


def test_bad_input_ends_with_one_message_exit_code_2_and_no_file(tmp_path, capsys):
    bad = write(tmp_path / "bad.json", {"models": {"a/good": BARE, "a/bad": {"steps": 8}}})
    for arguments, reason in [
        ((bad,), "models.a/bad"),
        ((tmp_path / "none.json",), "none.json: cannot be read"),
        ((tmp_path,), "cannot be read"),
        ((PUBLISHED, "--model", "a/b"), "has no plans for a/b: it has Qwen/Qwen-Image, "),
    ]:
        assert command(*arguments, "-o", tmp_path / "out") == 2
        message = re.sub(r"\s+", " ", capsys.readouterr().err)
        assert reason in message
        assert "Traceback" not in message
    assert not (tmp_path / "out").exists()


def test_a_place_that_cannot_be_written_is_refused(tmp_path, capsys):
    file = write(tmp_path / "file", "")
    assert command(PUBLISHED, "-o", file) == 2
    assert "cannot be made" in capsys.readouterr().err
    assert command(PUBLISHED, "--model", "Qwen/Qwen-Image", "-o", tmp_path) == 2
    assert "give the name of a file" in re.sub(r"\s+", " ", capsys.readouterr().err)


@pytest.mark.parametrize("last", ["taken", "n" * 300])
def test_where_one_schedule_cannot_be_written_none_is(tmp_path, capsys, last):
    file = write(tmp_path / "plans.json", {"models": dict.fromkeys(["a/first", last], BARE)})
    (tmp_path / "out" / "taken" / "8-steps.json").mkdir(parents=True)
    assert command(file, "-o", tmp_path / "out") == 2
    assert "Traceback" not in capsys.readouterr().err
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("models", "reason"),
    [
        (["a/Model", "b/model"], "both a/Model and b/model"),
        (["a/.."], "cannot be made into a folder's name"),
        (["a/"], "cannot be made into a folder's name"),
    ],
)
def test_names_that_make_no_file_of_their_own_are_refused(tmp_path, capsys, models, reason):
    file = write(tmp_path / "plans.json", {"models": dict.fromkeys(models, BARE)})
    assert command(file, "-o", tmp_path / "out") == 2
    assert reason in re.sub(r"\s+", " ", capsys.readouterr().err)
    assert not (tmp_path / "out").exists()


def test_a_models_name_never_leads_out_of_the_folder(tmp_path):
    file = write(tmp_path / "plans.json", {"models": {"a/..\\ü evil": BARE}})
    assert command(file, "-o", tmp_path / "out") == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["evil"]


def test_a_shipped_schedule_can_be_shown_and_drawn(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        main(
            [
                "show",
                str(SCHEDULES / "z-image" / "50-steps.json"),
                "--budget",
                "13",
                "--plot",
                str(tmp_path / "p.png"),
            ]
        )
    assert not stop.value.code
    shown = re.sub(r"\s+", " ", capsys.readouterr().out)
    assert "Tongyi-MAI/Z-Image; ZImagePipeline" in shown
    assert "13 refreshes in 50 steps, 3.85× in theory: 4 hold, 9 released" in shown
    assert (tmp_path / "p.png").stat().st_size > 0
