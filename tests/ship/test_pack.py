"""``pack``: what a model's folder holds afterwards, and what it takes to get there."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from diffusers import FluxPipeline
from markdown_it import MarkdownIt

from meancache_plan import load_schedule
from meancache_plan.cli import main
from meancache_plan.files.journal import within
from meancache_plan.schedule.artifact import AdapterIdentity
from meancache_plan.schedule.digest import sha256_of
from meancache_plan.ship.markdown import text
from meancache_plan.ship.model_card import model_card
from meancache_plan.source.diffusers.pipeline import Pipeline
from meancache_plan.source.diffusers.pipeline_ensemble import PipelineEnsemble
from meancache_runtime import attach
from tests.commands import refuse, run
from tests.ship.kits import FILES, again, names, packed, table, timeless
from tests.show.page import reported
from tests.tiny import call_options, tiny_flux
from tests.tiny_model import OPTIONS as MODEL

STEPS = 8


def page_data(folder: Path) -> dict[str, Any]:
    page = (folder / "meancache_report.html").read_text()
    return json.loads(page.partition('type="application/json">')[2].partition("</script>")[0])


def test_without_a_model_every_useful_budget_is_packed_and_nothing_is_measured(
    profile: Path, cwd: Path
) -> None:
    run("pack", "-o", "release", "--licence", "CC0 *1.0*")
    run("solve", "--all", "-o", "all.json")
    assert names(cwd / "release") == FILES
    assert packed(cwd / "release").plans == load_schedule(cwd / "all.json").plans
    card = (cwd / "release" / "MEANCACHE.md").read_text()
    assert "Nothing was measured" in card
    assert "meancache-plan evaluate" in card
    assert r"The schedule: CC0 \*1.0\*." in card
    assert [int(row[0]) for row in table(card)] == list(packed(cwd / "release").budgets)
    assert names(cwd) == {profile.name, "release", "all.json"}


def test_with_a_model_the_recipes_budgets_are_refined_and_measured(calibrated: Path) -> None:
    run("pack", *MODEL, "-o", "model", "--device", "cpu")
    folder = calibrated / "model"
    schedule = packed(folder)
    assert schedule.budgets == (3, 5)
    assert schedule.provenance is not None
    assert all(record.validated for record in schedule.provenance.plans)
    rows = table((folder / "MEANCACHE.md").read_text())
    for plan, row in zip(schedule.plans, rows, strict=True):
        assert plan.measured is not None
        assert row[:3] == [
            str(plan.budget),
            str(len(plan.knots)),
            f"{STEPS / len(plan.knots):.2f} ×",
        ]
        assert row[3] == f"{plan.measured.psnr_latent:.1f}"
        assert row[6:] == [
            f"{plan.measured.psnr:.1f}",
            f"{plan.measured.ssim:.4f}",
            f"{plan.measured.speedup:.2f} ×",
        ]
    assert {each["prompt"] for each in page_data(folder)["pictures"]["entries"]} == {
        "an owl",
        "a cow",
    }
    assert not within(folder).exists()
    pipe = FluxPipeline.from_pretrained(folder)
    with attach(pipe, budget=3) as attached:
        pipe("an owl", **call_options(STEPS))
    assert attached.stats.refreshes == 3


@pytest.mark.parametrize(
    ("target", "method", "call"),
    [(Pipeline, "generate", 3), (PipelineEnsemble, "replay", 9)],
)
def test_interrupted_anywhere_the_same_command_gives_the_same_kit(
    calibrated: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    target: Any,
    method: str,
    call: int,
) -> None:
    pack = ("pack", *MODEL, "--budget", "3", "-o")
    run(*pack, "whole")
    original, calls = getattr(target, method), [0]

    def halting(*args: Any, **kwargs: Any) -> Any:
        calls[0] += 1
        if calls[0] == call:
            raise KeyboardInterrupt
        return original(*args, **kwargs)

    monkeypatch.setattr(target, method, halting)
    with pytest.raises(SystemExit) as stopped:
        main([*pack, "halted"])
    assert stopped.value.code == 130
    assert "the same command goes on" in capsys.readouterr().err
    assert names(calibrated / "halted") == {within(calibrated / "halted").name}
    run(*pack, "halted")
    assert timeless(packed(calibrated / "halted")) == timeless(packed(calibrated / "whole"))
    cards = [(calibrated / each / "MEANCACHE.md").read_text() for each in ("halted", "whole")]
    assert [row[:-1] for row in table(cards[0])] == [row[:-1] for row in table(cards[1])]
    assert names(calibrated / "halted") == FILES


def test_a_kit_without_measurement_leaves_the_work_on_another_alone(calibrated: Path) -> None:
    kept = within(calibrated / "release") / "meancache_schedule.json.unfinished"
    kept.mkdir(parents=True)
    run("pack", "--budget", "3", "-o", "release")
    assert kept.is_dir()


def test_a_schedule_that_exists_is_packed_with_its_figures(calibrated: Path) -> None:
    run("solve", "--budget", "3,5,6")
    run("evaluate", "model", "--recipe", "tiny.toml", "--budget", "3,5", "--record")
    run("pack", "--schedule", "schedule.json", "--budget", "3,6", "-o", "some")
    source = load_schedule(calibrated / "schedule.json")
    assert packed(calibrated / "some").plans == (source.plans[0], source.plans[2])
    rows = table((calibrated / "some" / "MEANCACHE.md").read_text())
    measured = source.plans[0].measured
    assert measured is not None
    assert rows[0][:4] == ["3", "3", "2.67 ×", f"{measured.psnr_latent:.1f}"]
    assert rows[1][3:] == ["–"] * 4
    run("pack", "--schedule", "schedule.json", *MODEL, "--budget", "6", "-o", "measured")
    assert packed(calibrated / "measured").plans[0].measured is not None
    assert packed(calibrated / "measured").plans[0].knots == source.plans[2].knots


def test_without_refinement_plans_are_measured_as_they_were_solved(calibrated: Path) -> None:
    run("solve", "--budget", "4")
    run("pack", *MODEL, "--no-refine", "--budget", "4", "--limit", "1", "-o", "release")
    (plan,) = packed(calibrated / "release").plans
    assert plan.knots == load_schedule(calibrated / "schedule.json").plans[0].knots
    assert plan.measured is not None
    assert plan.measured.samples == 1
    lines = again((calibrated / "release" / "MEANCACHE.md").read_text())
    assert [line[0] for line in lines] == ["calibrate", "solve", "pack"]
    assert lines[-1][1:] == [
        *("--schedule", "schedule.json", "--budget", "4", "--model", "model"),
        *("--recipe", "tiny.toml", "--limit", "1", "-o", "release"),
    ]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("absent.profile",), "absent.profile"),
        (("--schedule", "absent.json"), "absent.json"),
        (("--budget", "0"), "budget 0"),
        (("-o", "missing/release"), "make it first"),
        (("-o", "file"), "is not a folder"),
        (("-o", "/"), "is not a folder"),
        (("-o", "others"), "is a schedule for someone/other, not for any model"),
        (("-o", "broken"), "broken/meancache_schedule.json: not a schedule"),
        (("--limit", "2"), "need --model"),
        (("--no-refine",), "need --model"),
        (("--recipe", "reference"), "need --model"),
    ],
)
def test_bad_input_is_refused_and_nothing_written(
    profile: Path,
    cwd: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    reason: str,
) -> None:
    run("solve", "--budget", "3")
    (cwd / "file").touch()
    for name in ("others", "broken"):
        (cwd / name).mkdir()
    (cwd / "broken" / "meancache_schedule.json").write_text("{}")
    other = json.loads((cwd / "schedule.json").read_text())
    empty = dict.fromkeys(("revision", "fingerprint", "pipeline", "scheduler"))
    other["model"] = {"id": "someone/other", **empty, "adapters": []}
    (cwd / "others" / "meancache_schedule.json").write_text(json.dumps(other))
    before = {path: path.read_bytes() for path in cwd.rglob("*") if path.is_file()}
    capsys.readouterr()
    assert reason in refuse(capsys, "pack", *arguments)
    assert {path: path.read_bytes() for path in cwd.rglob("*") if path.is_file()} == before
    assert not (cwd / "release").exists()


def test_a_model_of_another_architecture_is_refused(
    calibrated: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny_flux(guidance_embeds=True).save_pretrained(calibrated / "other")
    options = ("--model", "other", "--recipe", "tiny.toml", "--no-refine")
    assert "another denoiser" in refuse(capsys, "pack", *options, "-o", "release")
    assert not (calibrated / "release").exists()


class Rendered(HTMLParser):
    """The elements and the words of a page of HTML."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: set[str] = set()
        self.words = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        assert {name for name, _ in attrs} <= {"class", "style"}

    def handle_data(self, data: str) -> None:
        self.words += data


HOSTILE = (
    reported.HOSTILE,
    "**bold** _it_ ~~gone~~ [a](http://b) ![a](x) <b>x</b> <http://c> &amp; `code` | cell",
    "``` ~~~ # head",
    "a\n\n# head\n\n<script>x</script>\n\n```\n- x",
    "$x$ @who www.example.org \u202eesrever\u0007",
)
ELEMENTS = {"h1", "h2", "p", "code", "pre", "ul", "li"}
TABLE = {"table", "thead", "tbody", "tr", "th", "td"}


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_words_become_no_markup(hostile: str) -> None:
    model = reported.SCHEDULE.model
    assert model is not None
    changes = {
        "id": hostile,
        "pipeline": hostile,
        "adapters": (AdapterIdentity(name=hostile, digest=None),),
    }
    schedule = reported.SCHEDULE.model_copy(update={"model": model.model_copy(update=changes)})
    evaluation = reported.evaluation().model_copy(
        update={"device": hostile, "schedule_sha256": sha256_of(schedule)}
    )
    card = model_card(schedule, evaluation=evaluation, licence=hostile, commands=[hostile])
    page = Rendered(MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(card))
    assert page.elements == ELEMENTS | TABLE
    visible = re.sub(r"[\u202e\u0007\u2028]", "", " ".join(hostile.split()))
    assert page.words.count(visible) >= 4
    assert not re.search("[\u202e\u0007\u2028]", card)


def test_addresses_and_mentions_become_no_links() -> None:
    words = text("see http://example.org, www.example.org and @somebody")
    assert words == r"see http\://example.org, www\.example.org and \@somebody"
