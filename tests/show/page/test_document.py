"""The file itself: its data, its policy, its size, and what goes into it."""

from __future__ import annotations

import ast
import base64
import hashlib
import json
import shlex
from pathlib import Path

import numpy as np
import pytest

from meancache_plan.errors import InputError
from meancache_plan.judge.evaluate import with_measured
from meancache_plan.judge.findings import Evaluation
from meancache_plan.plan.start import start_schedule
from meancache_plan.schedule.artifact import Measured, Schedule, load_schedule
from meancache_plan.schedule.digest import sha256_of
from meancache_plan.show.landscape import hold_surfaces
from meancache_plan.show.page import write_report
from meancache_plan.show.page.document import to_script_json
from meancache_plan.show.page.heat_map import heat_data
from meancache_plan.source import catalog
from tests.show.page import reported
from tests.show.page.parsed import Page


def test_data_survive_their_way_through_the_file_and_nothing_else_is_in_it(report: Path) -> None:
    page = Page(report)
    data = json.loads(page.inside["script"][0])
    assert data["title"] == f"emoji{reported.HOSTILE}"
    assert [entry["prompt"] for entry in data["pictures"]["entries"]].count(reported.HOSTILE) == 1
    assert page.tags.count("script") == 2
    assert "img" not in page.tags
    assert page.links == ["#quality"]


def test_the_policy_allows_this_script_and_this_style_and_no_connection(report: Path) -> None:
    page = Page(report)

    def digest(text: str) -> str:
        return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

    rules = dict(rule.strip().split(" ", 1) for rule in page.policy.split(";"))
    assert rules == {
        "default-src": "'none'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
        "script-src": f"'sha256-{digest(page.inside['script'][1])}'",
        "style-src": f"'sha256-{digest(page.inside['style'][0])}'",
    }


@pytest.mark.parametrize("text", [reported.HOSTILE, "<!--<script>", "\u2029\x00\ud800", "]]>"])
def test_json_between_script_tags_holds_no_markup(text: str) -> None:
    found = to_script_json({"prompt": text})
    assert not set(found) & set("<>&\u2028\u2029")
    assert json.loads(found)["prompt"] == text.replace("\ud800", "?")


@pytest.mark.parametrize("name", catalog.schedule_files())
def test_every_shipped_schedule_has_a_report(tmp_path: Path, name: str) -> None:
    schedule = load_schedule(catalog.schedule_files()[name])
    write_report(schedule, tmp_path / "r.html")
    data = json.loads(Page(tmp_path / "r.html").inside["script"][0])
    assert tuple(plan["budget"] for plan in data["plans"]) == schedule.budgets
    assert [tuple(plan["knots"]) for plan in data["plans"]] == [p.knots for p in schedule.plans]
    for text in data["usage"][0]["texts"]:
        ast.parse(text)


def test_numbers_that_json_cannot_hold_are_refused() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_script_json({"psnr": float("nan")})


def test_the_heat_map_holds_the_profile_s_deviations_within_two_percent() -> None:
    profile = reported.profile()
    found = heat_data(profile)
    assert found is not None
    levels = np.frombuffer(base64.b64decode(found["levels"]), np.uint8)
    levels = levels.reshape(reported.STEPS, reported.STEPS).astype(float)
    surface = hold_surfaces(profile).mean(axis=0)[:, 1:]
    decoded = found["low"] * (found["high"] / found["low"]) ** ((levels - 1) / 254)
    seen = surface > found["low"]
    assert seen.sum() == reported.STEPS * (reported.STEPS - 1) / 2 - 1
    assert decoded[seen] == pytest.approx(surface[seen], rel=0.02)
    assert not levels[~(surface > 0)].any()


def usage(schedule: Schedule, tmp_path: Path, name: str) -> list[list[str]]:
    write_report(schedule, tmp_path / "r.html", name=name)
    data = json.loads(Page(tmp_path / "r.html").inside["script"][0])
    return [block["texts"] for block in data["usage"]]


def test_the_lines_to_copy_are_python_that_does_what_the_schedule_says(tmp_path: Path) -> None:
    replay = usage(reported.SCHEDULE, tmp_path, f"{reported.HOSTILE}.json")[0]
    assert len(replay) == 3
    tree = ast.parse(replay[1])
    calls = {ast.unparse(n.func): n for n in ast.walk(tree) if isinstance(n, ast.Call)}
    assert ast.literal_eval(calls["load_schedule"].args[0]) == f"{reported.HOSTILE}.json"
    source = calls["DiffusionPipeline.from_pretrained"]
    assert ast.literal_eval(source.args[0]) == f"emoji{reported.HOSTILE}"
    assert ast.unparse(source.keywords[0]) == "torch_dtype=torch.bfloat16"
    assert ast.unparse(calls["attach"].keywords[0]) == "budget=4"
    found = {keyword.arg: ast.literal_eval(keyword.value) for keyword in calls["pipe"].keywords}
    assert found == {"num_inference_steps": 12, "height": 64, "width": 48, "true_cfg_scale": 3.5}


def test_file_and_model_names_are_single_words_of_the_commands_to_copy(tmp_path: Path) -> None:
    _, generate, evaluate = usage(reported.SCHEDULE, tmp_path, f"{reported.HOSTILE}.json")
    for line in (generate[0], evaluate[0]):
        words = shlex.split(line.replace("\\\n", " "))
        assert words[2] == f"emoji{reported.HOSTILE}"
        assert words[words.index("--schedule") + 1] == f"{reported.HOSTILE}.json"
        assert words[words.index("--budget") + 1] == "3"


ODD = ("x\x1b[201~\nrm -rf ~", "a\u202eb", "--recipe=/x", "-h")


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("place", ["model", "file"])
def test_a_name_that_hides_or_commands_something_is_not_repeated(
    tmp_path: Path, odd: str, place: str
) -> None:
    assert reported.SCHEDULE.model is not None
    named = reported.SCHEDULE.model.model_copy(update={"id": odd if place == "model" else "a/b"})
    schedule = reported.SCHEDULE.model_copy(update={"model": named})
    name = f"{odd}.json" if place == "file" else "s.json"
    harmless = name if place == "model" else f"./{name}" if odd[0] == "-" else "schedule.json"
    write_report(schedule, tmp_path / "r.html", name=name)
    data = json.loads(Page(tmp_path / "r.html").inside["script"][0])
    lines = [block["texts"][0] for block in data["usage"]]
    for line in (*lines, *data["remedies"].values()):
        assert odd not in line.replace(f"./{odd}", "")
        assert ("YOUR/MODEL" if place == "model" else "a/b") in line
        assert harmless in line


def test_figures_that_were_noted_in_the_schedule_are_still_its_own(tmp_path: Path) -> None:
    noted = with_measured(reported.SCHEDULE, reported.evaluation())
    write_report(noted, tmp_path / "r.html", evaluation=reported.evaluation())
    again = with_measured(noted, _of(noted))
    assert write_report(again, tmp_path / "s.html", evaluation=_of(noted)) > 10_000


def _of(schedule: Schedule) -> Evaluation:
    """The evaluation, as one of this schedule, with figures of its own."""
    rows = reported.evaluation().rows
    rows = tuple(row.model_copy(update={"ssim": 0.5}) for row in rows)
    return reported.evaluation().model_copy(
        update={"schedule_sha256": sha256_of(schedule), "rows": rows}
    )


def test_what_belongs_to_another_schedule_is_refused(tmp_path: Path) -> None:
    other = reported.SCHEDULE.model_copy(update={"plans": reported.SCHEDULE.plans[:2]})
    samples = reported.samples(tmp_path / "judged")
    with pytest.raises(InputError, match="evaluation is of another schedule"):
        write_report(other, tmp_path / "r.html", evaluation=reported.evaluation())
    with pytest.raises(InputError, match="pictures are of another schedule"):
        write_report(other, tmp_path / "r.html", samples=samples)
    grid = reported.SCHEDULE.grid.model_copy(update={"steps": 13, "sigmas": None})
    longer = reported.SCHEDULE.model_copy(update={"grid": grid})
    with pytest.raises(InputError, match="profile has 12 steps, the schedule 13"):
        write_report(longer, tmp_path / "r.html", profile=reported.profile())
    assert not (tmp_path / "r.html").exists()


def test_figures_noted_in_a_schedule_are_shown_without_an_evaluation(tmp_path: Path) -> None:
    measured = Measured(psnr_latent=31.25, psnr=28.0, ssim=0.9, speedup=2.5, samples=8, prompts="p")
    plans = (reported.SCHEDULE.plans[0].model_copy(update={"measured": measured}),)
    write_report(reported.SCHEDULE.model_copy(update={"plans": plans}), tmp_path / "r.html")
    figures = json.loads(Page(tmp_path / "r.html").inside["script"][0])["figures"]
    assert [row["quality"]["psnr"] for row in figures["rows"]] == [{"mean": 28.0}]


def test_a_picture_that_is_not_one_is_refused_by_name(tmp_path: Path) -> None:
    samples = reported.samples(tmp_path / "judged")
    (tmp_path / "judged" / samples.samples[1].full).write_bytes(b"GIF89a")
    with pytest.raises(InputError, match=r"002-full\.png: not a readable PNG"):
        write_report(reported.SCHEDULE, tmp_path / "r.html", samples=samples)


def test_a_report_is_refused_where_it_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"ends in \.html"):
        write_report(reported.SCHEDULE, tmp_path / "report.pdf")
    with pytest.raises(InputError, match="does not exist"):
        write_report(reported.SCHEDULE, tmp_path / "none" / "report.html")


def test_a_report_of_starting_plans_says_what_rule_made_them(
    tmp_path: Path,
) -> None:
    assert reported.SCHEDULE.model is not None
    starting = start_schedule(reported.SCHEDULE.model, [3, 4], reported.STEPS)
    write_report(starting, tmp_path / "r.html", profile=reported.profile())
    data = json.loads(Page(tmp_path / "r.html").inside["script"][0])
    facts = dict(data["facts"])
    assert "nobody has calibrated this model" in facts["planned by"]
    assert "width on a grid of shift 3 to the power 0.5" in facts["planned by"]
    assert starting.starting is not None
    assert starting.starting.start.published in facts["published plans"]
    assert "made by a rule, and not from the profile shown here" in data["caution"]
