"""The artifact: canonical bytes, and two readers that agree on what is a schedule."""

from __future__ import annotations

import copy
import json
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from meancache_plan.errors import InputError
from meancache_plan.schedule import artifact
from meancache_plan.schedule.artifact import from_bytes, load_schedule, save_schedule, to_bytes
from meancache_runtime import load_schedule as load_at_runtime
from meancache_runtime.errors import ScheduleError
from meancache_runtime.predictors import Adams, Hold, Jvp, Released
from meancache_runtime.schedule import Adapter, parse_schedule
from tests.schedule.readers import CORPUS, READERS, ROOT, VALID, refusal

GOOD = sorted((CORPUS / "good").glob("*.json"))
BAD = json.loads((CORPUS / "bad.json").read_text())


def test_the_corpus_is_complete():
    assert {path.name for path in (CORPUS / "bad").iterdir()} == set(BAD)
    assert len(GOOD) >= 10


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_both_readers_accept_good_files_and_read_the_same(path):
    schedule = from_bytes(path.read_bytes())
    assert parse_schedule(path.read_bytes()) == schedule.replayable()
    assert from_bytes(to_bytes(schedule)) == schedule


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("name", BAD)
def test_both_readers_refuse_bad_files_and_say_why(name, read):
    message = refusal(read, (CORPUS / "bad" / name).read_bytes())
    assert BAD[name].lower() in message.lower()
    assert len(message) < 300


@pytest.mark.parametrize("read", READERS)
def test_different_defects_have_different_messages(read):
    """Files that share a message differ only in the value that stands in one place."""
    by_message: dict[str, list[str]] = {}
    for name in BAD:
        message = refusal(read, (CORPUS / "bad" / name).read_bytes())
        by_message.setdefault(message, []).append(name)
    for names in by_message.values():
        assert len({BAD[name] for name in names}) == 1, names


def noting(**changes: Any):
    """Change the first noted command."""
    return lambda made: made["commands"][0].update(changes)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda made: made.update(extra={"deep": [1.5, None]}), 'unknown key "extra"'),
        (lambda made: made.pop("tool"), '"tool" is missing'),
        (lambda made: made.pop("transferred_from"), '"transferred_from" is missing'),
        (lambda made: made.update(tool=""), "must not be empty"),
        (lambda made: made.update(samples=1.0), "samples: must be an integer"),
        (lambda made: made.clear(), "is missing"),
        (lambda made: made.update(commands={}), "commands: must be a list"),
        (lambda made: made.update(commands=made["commands"] * 30), "at most 64 entries"),
        (lambda made: made["commands"].pop(0), "commands: must be calibrate, solve, and then"),
        (lambda made: made["commands"].reverse(), "commands: must be calibrate, solve, and then"),
        (noting(command="show"), "commands[0].command: is unknown"),
        (noting(extra=1), 'commands[0]: unknown key "extra"'),
        (noting(tool=""), "commands[0].tool: must not be empty"),
        (noting(arguments=[]), "commands[0].arguments: must be an object"),
        (noting(arguments={"--steps": 8}), "must match"),
        (noting(arguments={"steps; rm": 8}), "must match"),
        (noting(arguments={"a" * 33: 8}), "at most 32 characters"),
        (noting(arguments={"output": "/etc/passwd"}), "output says where a file goes"),
        (noting(arguments={"steps": None}), "commands[0].arguments.steps"),
        (noting(arguments={"steps": []}), "commands[0].arguments.steps"),
        (noting(arguments={"prompts": "x" * 1001}), "commands[0].arguments.prompts"),
        (noting(arguments={"steps": 10**12}), "commands[0].arguments.steps"),
    ],
)
def test_the_compiler_alone_looks_into_provenance(change, words):
    value = copy.deepcopy(VALID)
    change(value["provenance"])
    data = json.dumps(value).encode()
    assert words in refusal(from_bytes, data)
    assert parse_schedule(data) == parse_schedule(json.dumps(VALID).encode())


def absurd(**changes: Any) -> bytes:
    return json.dumps(VALID | changes).encode()


ADAPTERS = VALID["model"]["adapters"]
HUGE = {
    "a hundred thousand plans": absurd(plans=[None] * 100_000),
    "thousands of good plans": absurd(plans=[VALID["plans"][0]] * 5_000),
    "ten megabytes": absurd(model=VALID["model"] | {"id": "x" * 10_000_000}),
    "a million knots": absurd(plans=[VALID["plans"][0] | {"knots": list(range(1_000_000))}]),
    "a million sigmas": absurd(grid=VALID["grid"] | {"sigmas": [0.5] * 1_000_000}),
    "thousands of adapters": absurd(model=VALID["model"] | {"adapters": ADAPTERS * 5_000}),
}


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("name", HUGE)
def test_absurd_sizes_are_refused(name, read):
    message = refusal(read, HUGE[name])
    reasons = ("larger than", "entries", "out of range", "must be an object")
    assert any(reason in message for reason in reasons)
    assert len(message) < 300


def test_canonical_bytes_are_golden():
    schedule = artifact.Schedule(
        model=None,
        grid=artifact.Grid(steps=8, sigmas=None, tolerance=0.01),
        generation=None,
        plans=(
            artifact.PlanEntry(
                budget=4,
                knots=(0, 1, 3, 6),
                intervals=(
                    Hold(),
                    Released(2),
                    Jvp(3),
                    Adams((1, 1e-7)),
                ),
                cost=1 / 3,
                measured=None,
            ),
        ),
        provenance=None,
    )
    assert to_bytes(schedule) == (
        b'{"format":"meancache-schedule","generation":null,"grid":{"finer_steps":null,"replaces":null,"sigmas":null,"steps":8,"switches":[],'
        b'"tolerance":0.01},"model":null,"plans":[{"also":[],"budget":4,"cost":0.3333333333333333,'
        b'"innovation":null,"intervals":[{"predictor":"hold"},{"predictor":"released","span":2},'
        b'{"predictor":"jvp","window":3},{"gains":[1.0,1e-07],"order":2,"predictor":"adams"}],'
        b'"knots":[0,1,3,6],'
        b'"measured":null}],"provenance":null,"version":1}\n'
    )


def test_every_spelling_of_a_schedule_has_the_same_canonical_bytes():
    canonical = (CORPUS / "good" / "every-field.json").read_bytes()
    spelt = (CORPUS / "good" / "white-space-and-other-key-order.json").read_bytes()
    assert to_bytes(from_bytes(spelt)) == to_bytes(from_bytes(canonical)) == canonical
    pair = (CORPUS / "good" / "escaped-surrogate-pair.json").read_bytes()
    plain = (CORPUS / "good" / "unicode-and-control-characters.json").read_bytes()
    assert to_bytes(from_bytes(pair)) == plain


def test_the_runtime_reads_what_the_file_says():
    schedule = load_at_runtime(CORPUS / "good" / "every-field.json")
    assert schedule.budgets == (2, 4)
    plan = schedule.plan(4)
    assert plan.knots == (0, 1, 3, 6)
    assert plan.intervals == (Hold(), Released(2), Jvp(3), Adams((1.0, 0.9, 0.5)))
    assert schedule.grid.sigmas == tuple(VALID["grid"]["sigmas"])
    assert schedule.model is not None
    (adapter,) = ADAPTERS
    assert schedule.model.adapters == (Adapter(adapter["name"], adapter["digest"]),)


def test_saving_and_loading(tmp_path):
    schedule = from_bytes((CORPUS / "good" / "every-field.json").read_bytes())
    path = tmp_path / "schedule.json"
    save_schedule(schedule, path)
    save_schedule(schedule, path)
    assert load_schedule(path) == schedule
    assert load_at_runtime(str(path)) == schedule.replayable()
    assert [p.name for p in tmp_path.iterdir()] == ["schedule.json"]
    with pytest.raises(InputError, match="cannot be written"):
        save_schedule(schedule, tmp_path / "missing" / "schedule.json")


def test_a_folder_is_as_good_as_the_file_in_it(tmp_path):
    file = tmp_path / "meancache_schedule.json"
    file.write_bytes((CORPUS / "good" / "every-field.json").read_bytes())
    assert load_schedule(tmp_path) == load_schedule(file)
    file.write_text("{}")
    with pytest.raises(ScheduleError, match=r"meancache_schedule\.json: not a schedule"):
        load_schedule(tmp_path)


@pytest.mark.parametrize("load", [load_schedule, load_at_runtime])
def test_files_that_cannot_be_read_or_are_bad_are_named(load, tmp_path):
    with pytest.raises(ScheduleError, match=r"absent\.json: cannot be read \(No such file"):
        load(tmp_path / "absent.json")
    with pytest.raises(ScheduleError, match="this folder holds no meancache_schedule"):
        load(tmp_path)
    bad = tmp_path / "bad.json"
    bad.write_text("{}")
    with pytest.raises(ScheduleError, match=r"bad\.json: not a schedule"):
        load(bad)
    with pytest.raises(ScheduleError, match="/dev/zero: larger than"):
        load(Path("/dev/zero"))


def test_the_json_schema_is_current(capfdbinary):
    runpy.run_module("meancache_plan.schedule.schema", run_name="__main__")
    sys.stdout.flush()
    assert capfdbinary.readouterr().out == (ROOT / "schedules" / "schema.json").read_bytes()


def test_the_json_schema_accepts_good_files_and_refuses_unknown_and_missing_keys():
    schema = json.loads((ROOT / "schedules" / "schema.json").read_text())
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    for path in GOOD:
        assert validator.is_valid(json.loads(path.read_bytes())), path.name
    for name in BAD:
        if name.startswith(("unknown-key", "missing")):
            value = json.loads((CORPUS / "bad" / name).read_bytes())
            assert not validator.is_valid(value), name
