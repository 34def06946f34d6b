"""The pages are short, their links lead somewhere, and the files that they name are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import meancache_plan
import meancache_runtime
from meancache_plan.cli.commands import COMMANDS
from meancache_plan.plan.planners import PLANNERS
from meancache_runtime.hosts.diffusers.identity import DENOISERS
from meancache_runtime.predictors import KINDS

ROOT = Path(__file__).parent.parent
FOLDERS = ("benchmarks", "calibration", "docs", "integrations", "runtime", "schedules", "tests")
PAGES = sorted([*ROOT.glob("*.md"), *(page for f in FOLDERS for page in (ROOT / f).rglob("*.md"))])
LINES = {"README.md": 150, "docs/ARCHITECTURE.md": 150, "CONTRIBUTING.md": 100}
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")
ENTRY = re.compile(r"^(?:-|\d+\.) `.*$", re.MULTILINE)
TO_TOUCH = re.compile(r"`(\S+/\S*|\S+\.\w+|Makefile)` `([^`]+)`(?=[,:])")
"""What an entry of a list of files begins with: paths, and what one looks for in each."""

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def prose(page: Path) -> str:
    """The page without its blocks of code."""
    return re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)


def anchors(page: Path) -> set[str]:
    """Those of its headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    words = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in words}


@pytest.mark.parametrize(("page", "most"), LINES.items())
def test_a_page_is_as_long_as_it_takes_and_no_longer(page: str, most: int) -> None:
    assert len((ROOT / page).read_text(encoding="utf-8").splitlines()) <= most


@every_page
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for target, anchor in LINK.findall(prose(page)):
        there = (page.parent / target).resolve() if target else page
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), f"{target}#{anchor}"


def to_touch(text: str) -> list[tuple[str, str]]:
    """The files of its lists, each with what one looks for in it."""
    return [pair for entry in ENTRY.findall(text) for pair in TO_TOUCH.findall(entry)]


@pytest.mark.parametrize(("page", "least"), [("CONTRIBUTING.md", 45), ("docs/ARCHITECTURE.md", 18)])
def test_the_files_to_touch_are_there_and_have_what_is_looked_for(page: str, least: int) -> None:
    found = to_touch((ROOT / page).read_text(encoding="utf-8"))
    assert len(found) >= least
    for name, wanted in found:
        assert wanted in (ROOT / name).read_text(encoding="utf-8"), f"{name}: {wanted}"


PREDICTORS = "|".join(kind.__name__ for kind in KINDS.values())
CODE = ("meancache_plan/**/*.py", "runtime/meancache_runtime/**/*.py")
PIPELINES = ("FluxPipeline", "QwenImagePipeline", "WanPipeline")
SAMPLERS = (
    "UniPCMultistepScheduler",
    "DPMSolverMultistepScheduler",
    "DPMSolverSinglestepScheduler",
)
KNOWN_BY_NAME = [
    (
        "Add a predictor",
        CODE,
        [rf"\bcase ({PREDICTORS})\(|isinstance\([^)]*\b({PREDICTORS})\b"],
    ),
    ("Add a planner", CODE, [rf'"{name}": ' for name in PLANNERS]),
    ("Add a pipeline", CODE, [f'"{name}"' for name in DENOISERS]),
    ("Add a pipeline", CODE, [f'"{name}"' for name in SAMPLERS]),
    ("Add a pipeline", (*CODE, "tests/source/**/*.py"), [f'"{name}"' for name in PIPELINES]),
    ("Add a pipeline", ("tests/families/*.py",), [r"^NAMES = \[|(\b\w+Pipeline\b\s+){5}"]),
    (
        "Add a host",
        ("*.*", "docs/*.md", "runtime/*", "runtime/meancache_runtime/**/*.py", "tests/hosts/*.py"),
        [r"(?i)\bcomfyui\b", r"(?i)\bjax\b", r"(?i)\bmflux\b"],
    ),
    ("Add a figure", CODE, [rf"\"{name}\"" for name in ("psnr_latent", "ssim", "flip")]),
    (
        "Add a shipped schedule",
        ("*.md", "schedules/*", "tests/schedule/*.py", "tests/runtime/hosts/diffusers/*.py", *CODE),
        [r"(?i)\bqwen-image(-2512)?/?\b", r"(?i)\bz-image\b"],
    ),
]
"""Section, where to look, and what a file has, all of it, that knows all of a kind by name."""

MADE = {"CHANGELOG.md", "docs/HOSTS.md"}
"""Pages that are written after the fact, or by a command of the list."""


@pytest.mark.parametrize(("section", "where", "signs"), KNOWN_BY_NAME)
def test_the_files_to_touch_are_all_that_know_each_of_a_kind_by_name(
    section: str, where: tuple[str, ...], signs: list[str]
) -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    _, _, rest = text.partition(f"## {section}")
    listed = {name for name, _ in to_touch(rest.partition("\n## ")[0])}
    files = {path for pattern in where for path in ROOT.glob(pattern) if path.is_file()}
    knowing = {
        path.relative_to(ROOT).as_posix()
        for path in files
        if all(re.search(sign, path.read_text(encoding="utf-8"), re.M) for sign in signs)
    }
    assert knowing & listed, "the signs find nothing"
    assert knowing - MADE <= listed


PUBLIC = {
    "`meancache_plan`": set(meancache_plan.__all__) - {"__version__"},
    "`meancache_runtime`": set(meancache_runtime.__all__) - {"__version__"},
    "commands": {command.__name__.replace("_", "-") for command in COMMANDS},
}


@pytest.mark.parametrize("row", PUBLIC)
def test_the_changelog_lists_every_public_name(row: str) -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    line = next(line for line in text.splitlines() if line.startswith(f"| {row} | `"))
    _, _, cells = line.removeprefix("| ").partition(" | ")
    assert set(re.findall(r"`([\w-]+)`", cells)) == PUBLIC[row]
