"""The report in a browser: what a reader sees when the budget moves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from meancache_plan.show.landscape import hold_surfaces
from meancache_plan.show.page import write_report
from tests.show.page import reported
from tests.show.page.visit import INK, Visit, visited

PLANS = reported.SCHEDULE.plans
BOUNDS = [[*zip(plan.knots, (*plan.knots[1:], reported.STEPS), strict=True)] for plan in PLANS]


def test_without_scripts_the_plans_stand_in_a_table_and_nothing_is_dead(
    browser: Any, report: Path
) -> None:
    context = browser.new_context(java_script_enabled=False)
    context.set_offline(True)
    page = context.new_page()
    page.goto(report.as_uri())
    assert "allow scripts to see them" in page.locator(".still .missing").inner_text()
    caption = " ".join((page.locator("caption").text_content() or "").split())
    assert " ".join(reported.HOSTILE.split()) in caption
    lines = [line.split("\t") for line in page.locator(".still tr").all_inner_texts()]
    budgets = [line[0] for line in lines[1:]]
    assert budgets == [str(budget) for budget in reported.BUDGETS]
    for line, plan in zip(lines[1:], PLANS, strict=True):
        row = dict(zip(lines[0], line, strict=True))
        assert row["Runs of the denoiser"] == str(len(plan.knots))
        assert row["PSNR of pictures"] == f"{reported.PSNR['plan'][plan.budget]:.1f} dB"
        assert row["Speed-up"] == f"{6 / (plan.budget / 2):.2f}×"
    for dead in ("#budget", "#theme", "main", "footer"):
        assert not page.locator(dead).is_visible()
    assert page.locator("img").count() == 0
    context.close()


def test_with_scripts_nothing_of_that_is_shown(visit: Visit) -> None:
    assert visit.page.locator(".still").count() == 0
    assert visit.page.locator("main").is_visible()


def test_pictures_that_did_not_fit_are_said_to_be_left_out(
    browser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("meancache_plan.show.page.report_writing.LIMIT", 1_000)
    samples = reported.samples(tmp_path / "judged")
    write_report(reported.SCHEDULE, tmp_path / "r.html", samples=samples)
    with visited(browser, tmp_path / "r.html") as found:
        assert "would not fit into a page" in found.text("#pictures")
        assert "evaluate" not in found.text("#pictures")


@pytest.mark.parametrize("index", [0, 1, 2])
def test_the_slider_moves_the_timeline_and_the_plan_on_the_heat_map(
    visit: Visit, index: int
) -> None:
    visit.choose(index)
    assert visit.intervals("#timeline .segment") == BOUNDS[index]
    assert visit.intervals("#heat circle.knot") == BOUNDS[index]
    lanes = visit.page.locator("#overview .lane.now")
    assert lanes.get_attribute("data-budget") == str(PLANS[index].budget)
    kinds = visit.page.locator("#timeline .segment").evaluate_all(
        "nodes => nodes.map(n => n.classList[1])"
    )
    assert kinds == [interval.name for interval in PLANS[index].intervals]


@pytest.mark.parametrize("index", [0, 1, 2])
def test_the_slider_moves_the_figures(visit: Visit, index: int) -> None:
    visit.choose(index)
    budget = reported.BUDGETS[index]
    psnr = reported.PSNR["plan"][budget]
    tile = visit.text("[data-figure=psnr]")
    assert f"{psnr:.1f} dB" in tile
    assert f"95 % {psnr - 0.5:.1f} to {psnr + 0.5:.1f}" in tile
    assert f"worst tenth {psnr - 1:.1f}" in tile
    assert f"{6 / (budget / 2):.2f}×" in visit.text("[data-figure=speedup]")
    assert f"{2 * budget} of 24 denoiser calls" in visit.text("[data-figure=speedup]")
    assert f"{psnr:.1f} dB" in visit.text("#verdict")
    steps, fewer = len(PLANS[index].knots), reported.PSNR["fewer-steps"][budget]
    assert f"simply running {steps} steps gives {fewer:.1f} dB" in visit.text("#verdict")


@pytest.mark.parametrize("index", [0, 1, 2])
def test_the_slider_moves_the_mark_on_the_pareto_curve(visit: Visit, index: int) -> None:
    visit.choose(index)
    budget = reported.BUDGETS[index]
    ring, mark = (
        visit.page.locator("#pareto .ring"),
        visit.page.locator(f"#pareto [data-method=plan] [data-budget='{budget}']"),
    )
    for place in ("cx", "cy"):
        assert ring.get_attribute(place) == mark.get_attribute(place)
    assert visit.page.locator("#pareto .series[data-method]").count() == len(reported.PSNR)


@pytest.mark.parametrize("index", [0, 1, 2])
@pytest.mark.parametrize("prompt", reported.PROMPTS)
def test_the_slider_moves_the_pictures(visit: Visit, index: int, prompt: str) -> None:
    visit.choose(index)
    budget = reported.BUDGETS[index]
    full, cached = reported.PROMPTS[prompt].full, reported.PROMPTS[prompt].cached[budget]
    pictures = visit.card(prompt).locator("img")
    assert visit.pixel(pictures.nth(0)) == [full, full, full, 255]
    assert visit.pixel(pictures.nth(1)) == [cached, cached, cached, 255]
    assert f"{50 - abs(cached - full):.1f} dB" in visit.card(prompt).inner_text()


def test_differences_are_black_where_nothing_differs_and_bright_where_much_does(
    visit: Visit,
) -> None:
    visit.page.locator("#gain").select_option("5")
    found: dict[int, int] = {}
    for index, budget in enumerate(reported.BUDGETS):
        visit.choose(index)
        found[budget] = sum(visit.pixel(visit.card(reported.HOSTILE).locator("canvas"))[:3])
    assert found[3] > found[4] > found[6] > 0
    visit.page.locator("#gain").select_option("50")
    visit.settle()
    assert sum(visit.pixel(visit.card(reported.HOSTILE).locator("canvas"))[:3]) > found[6]


def test_arrow_keys_move_the_slider_from_anywhere(visit: Visit) -> None:
    slider = visit.page.locator("#budget")
    assert slider.input_value() == "1"
    visit.page.keyboard.press("ArrowRight")
    assert slider.get_attribute("aria-valuetext") == "budget 6: 5 of 12 refreshes"
    visit.page.keyboard.press("Home")
    assert visit.intervals("#timeline .segment") == BOUNDS[0]
    slider.focus()
    visit.page.keyboard.press("ArrowRight")
    assert slider.input_value() == "1"
    visit.page.keyboard.press("End")
    assert slider.input_value() == "2"


def test_buttons_and_lanes_and_points_choose_a_budget_too(visit: Visit) -> None:
    slider = visit.page.locator("#budget")
    visit.page.get_by_label("Larger budget").click()
    assert slider.input_value() == "2"
    assert visit.page.get_by_label("Larger budget").is_disabled()
    visit.page.get_by_label("Smaller budget").click()
    visit.page.locator("#overview [data-budget='3']").click()
    assert slider.input_value() == "0"
    visit.page.locator("#pareto [data-budget='4']").click()
    assert slider.input_value() == "1"


def test_nothing_is_requested_but_the_file_itself(visit: Visit, report: Path) -> None:
    visit.choose(2)
    visit.page.locator(".open").first.click()
    others = [url for url in visit.requests if not url.startswith("data:image/webp;base64,")]
    assert others == [report.as_uri()]


def test_scripts_that_are_not_the_report_s_own_do_not_run(browser: Any, report: Path) -> None:
    with visited(browser, report) as found:
        found.page.evaluate(
            "() => { const s = document.createElement('script'); s.textContent = 'window.ran = 1';"
            " document.body.append(s); document.body.setAttribute('onclick', 'window.ran = 1');"
            " document.body.click(); }"
        )
        assert found.page.evaluate("() => window.ran") is None
        assert any("Content Security Policy" in text for text in found.complaints)
        failed = found.page.evaluate("() => fetch('https://example.org').catch(() => 'refused')")
        assert failed == "refused"


def test_hostile_texts_are_shown_as_they_are_and_create_no_elements(visit: Visit) -> None:
    page = visit.page
    assert page.locator("h1").text_content() == f"emoji{reported.HOSTILE}"
    assert page.title().split() == f"emoji{reported.HOSTILE}: cache schedule".split()
    assert visit.card(reported.HOSTILE).is_visible()
    assert reported.HOSTILE in (page.locator("#facts").text_content() or "")
    assert reported.HOSTILE in (page.locator("#about").text_content() or "")
    assert reported.HOSTILE[:40] in (page.locator("#rivals").text_content() or "")
    assert page.locator("img").count() == 2 * len(reported.PROMPTS)
    assert page.locator("script").count() == 2
    assert page.evaluate("() => window.hacked") is None


def test_the_heat_map_is_coloured_by_the_profile_s_deviations(visit: Visit) -> None:
    surface = hold_surfaces(reported.profile()).mean(axis=0)
    canvas = visit.page.locator(".stage canvas")

    def brightness(t: int, s: int) -> int:
        return sum(visit.pixel(canvas, t, reported.STEPS - s)[:3])

    pairs = [(0, 12), (0, 6), (3, 6), (8, 11), (9, 11)]
    ranked = sorted(pairs, key=lambda pair: surface[pair])
    assert sorted(pairs, key=lambda pair: brightness(*pair)) == ranked
    assert visit.pixel(canvas, 0, 0) == [253, 231, 37, 255]  # the largest of all
    assert visit.pixel(canvas, 11, 11)[3] == 0  # ends before it begins


def test_lines_are_copied_as_they_stand(browser: Any, report: Path) -> None:
    with visited(browser, report, permissions=["clipboard-read", "clipboard-write"]) as found:
        found.choose(2)
        found.page.locator("#usage .copy").first.click()
        found.page.get_by_text("Copied").wait_for()
        copied = found.page.evaluate("() => navigator.clipboard.readText()")
        assert copied == found.page.locator("#usage pre").first.text_content()
        assert "budget=6" in copied


def test_an_enlarged_sample_flips_between_cached_and_full(visit: Visit) -> None:
    visit.choose(0)
    visit.card(reported.HOSTILE).locator(".open").click()
    viewer = visit.page.locator("#viewer")
    assert viewer.locator(".prompt").text_content() == reported.HOSTILE
    picture, levels = viewer.locator("img"), reported.PROMPTS[reported.HOSTILE]
    assert visit.pixel(picture)[0] == levels.cached[3]
    viewer.get_by_text("Flip").click()
    visit.settle()
    assert visit.pixel(picture)[0] == levels.full
    visit.page.keyboard.press("ArrowRight")
    assert visit.page.locator("#budget").input_value() == "0"
    visit.page.keyboard.press("Escape")
    assert not viewer.is_visible()


def test_a_worst_prompt_says_among_how_many_it_was_sought(browser: Any, tmp_path: Path) -> None:
    write_report(
        reported.SCHEDULE,
        tmp_path / "r.html",
        evaluation=reported.evaluation().model_copy(update={"prompts": 64}),
        samples=reported.samples(tmp_path / "judged"),
    )
    with visited(browser, tmp_path / "r.html") as found:
        words = "Pictures were kept of 3 of the 64 prompts judged"
        assert words in found.page.locator("#pictures").inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("by", ["system", "button"])
def test_text_stands_out_in_light_and_dark(
    browser: Any, report: Path, scheme: str, by: str
) -> None:
    system = scheme if by == "system" else {"light": "dark", "dark": "light"}[scheme]
    with visited(browser, report, color_scheme=system) as found:
        for _ in range(0 if by == "system" else ["light", "dark"].index(scheme) + 1):
            found.page.locator("#theme").click()
        found.choose(0)
        found.page.locator("#plan-details summary").click()
        paper = found.page.evaluate("() => getComputedStyle(document.body).backgroundColor")
        assert (paper == "rgb(20, 22, 26)") == (scheme == "dark")
        poor = {name: ratio for name in INK if (ratio := found.contrast(name)) < 4.5}
        assert poor == {}


def test_every_control_has_a_name_and_every_drawing_a_description(visit: Visit) -> None:
    page = visit.page
    for control in page.locator("button, select, input").all():
        name = control.evaluate(
            "n => n.getAttribute('aria-label') || n.labels?.[0]?.innerText || n.innerText"
        )
        assert name.strip()
    for drawing in page.locator("[role=img]").all():
        assert drawing.get_attribute("aria-label")


def test_it_fits_a_narrow_screen(browser: Any, report: Path) -> None:
    with visited(browser, report, viewport={"width": 380, "height": 800}) as found:
        assert found.page.evaluate("() => document.documentElement.scrollWidth") <= 380


def test_what_is_missing_is_said_with_the_command_that_adds_it(
    browser: Any, tmp_path: Path
) -> None:
    write_report(reported.SCHEDULE, tmp_path / "bare.html", name="s.json")
    with visited(browser, tmp_path / "bare.html") as found:
        assert found.complaints == []
        for section, words, command in (
            ("#heat", "written without a profile", "meancache-plan calibrate"),
            ("#pictures", "written without samples", "--samples judged"),
            ("#quality", "No quality is known", "meancache-plan evaluate"),
        ):
            text = found.page.locator(section).inner_text()
            assert words in text
            assert command in text
        assert found.intervals("#timeline .segment") == BOUNDS[1]


def test_a_pack_of_one_plan_for_any_grid_is_shown_too(browser: Any, tmp_path: Path) -> None:
    grid = reported.SCHEDULE.grid.model_copy(update={"sigmas": None})
    alone = reported.SCHEDULE.model_copy(
        update={"grid": grid, "plans": PLANS[:1], "model": None, "provenance": None}
    )
    write_report(alone, tmp_path / "alone.html")
    with visited(browser, tmp_path / "alone.html") as found:
        assert found.complaints == []
        assert found.text("h1") == "Any model"
        assert found.intervals("#timeline .segment") == BOUNDS[0]
