"""The README's blocks run, in order, as a reader would run them in the checkout."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from diffusers import AutoencoderKLQwenImage, QwenImagePipeline
from PIL import Image

from meancache_plan.source.recipe import read_prompts
from tests.families.case import seeded
from tests.families.qwen_image import TINY_VAE
from tests.families.text_to_image import quiet
from tests.tiny_families import qwen_image_options, tiny_qwen_image

pytestmark = pytest.mark.early(1)

ROOT = Path(__file__).parent.parent
BY_MAKE = ("make demo", "make test")
OURS = re.compile(r"[a-z ]+ +\d+/\d+ (\S+ an? \w+)? ?\d+:\d\d:\d\d left [-\d:]+$")
"""Progress: all that a command may say on standard error."""

READMES = ("README.md", "docs/GUIDE.md", "runtime/README.md")

PROMPTS = {"reference-calibration": 6, "reference-heldout": 2}
"""Short lists in a reader's folder, which are taken before the bundled ones of these names: every
command runs as it stands, on so many prompts."""


def blocks(file: Path) -> list[tuple[str, str]]:
    """Every fenced block of a Markdown file: (language, text)."""
    return re.findall(r"^```(\w*)\n(.*?)^```", file.read_text(encoding="utf-8"), re.M | re.S)


def untracked(folder: Path) -> set[str]:
    """What git would add there, at the top, if nothing were tracked yet."""
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    command = ["git", "ls-files", "--others", "--exclude-standard", "--directory"]
    listed = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    return {line.rstrip("/") for line in listed.stdout.splitlines()}


def test_the_readme_names_the_two_commands() -> None:
    bash = [text.strip() for language, text in blocks(ROOT / "README.md") if language == "bash"]
    assert all(command in bash for command in BY_MAKE)


def test_what_a_library_writes_to_standard_output_is_found_out(others: Path) -> None:
    code = (
        "import logging, sys\n"
        "from meancache_plan.show.terminal.console import say\n"
        "say('ours')\n"
        "print('the block')\n"
        "logging.basicConfig(stream=sys.stdout)\n"
        "logging.warning('a library')\n"
    )
    run([sys.executable, "-c", code], "a page")
    assert others.read_text() == "WARNING:root:a library\n"


@pytest.mark.parametrize("readme", READMES)
def test_every_block_has_a_language_that_this_test_runs(readme: str) -> None:
    assert {language for language, _ in blocks(ROOT / readme)} <= {"bash", "python", "text"}


def test_every_block_of_the_readmes_runs_and_no_line_is_of_another_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, others: Path
) -> None:
    """In a folder of its own with the checkout's data beside it; `make` has CI as its test.

    A command that several pages have runs once. Python's standard error is not looked at: it
    imports diffusers as it is, with what that says.
    """
    for name in ("calibration", "schedules"):
        (tmp_path / name).symlink_to(ROOT / name)
    for name, number in PROMPTS.items():
        (tmp_path / name).write_text("\n".join(read_prompts(name)[:number]))
    shutil.copy(ROOT / ".gitignore", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    ran, commands = 0, set[str]()
    for readme in READMES:
        for language, text in blocks(ROOT / readme):
            if language == "python":
                run([sys.executable, "-c", text], readme)
            elif language == "bash" and text.strip() not in BY_MAKE:
                new = [each for each in lines(text) if each not in commands]
                commands.update(new)
                said = run(["bash", "-euo", "pipefail", "-c", "\n".join(new)], readme)
                assert not [line for line in said.splitlines() if not OURS.match(line)]
            else:
                continue
            ran += 1
    assert ran >= 10
    ours = {".gitignore", "calibration", "schedules", *PROMPTS}
    assert untracked(tmp_path) == ours, "git would add it"
    assert not others.read_text()


def lines(text: str) -> list[str]:
    """The commands of a block."""
    return text.replace("\\\n", "").splitlines()


def run(command: list[str], readme: str) -> str:
    """Run it: it must succeed. What it says on standard error."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{readme}:\n{command[-1]}\n{done.stdout}{done.stderr}"
    return done.stderr


def test_the_three_lines_for_qwen_image_run_on_a_tiny_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The block is text because nobody has Qwen-Image's weights here; its words are still true."""
    (block,) = (text for _, text in blocks(ROOT / "README.md") if "schedules/qwen-image/" in text)
    vae = seeded(lambda: AutoencoderKLQwenImage(**TINY_VAE))
    pipe = quiet(QwenImagePipeline.from_pipe(tiny_qwen_image(), vae=vae))
    embedded = qwen_image_options(50)
    known = embedded["prompt_embeds"], embedded.get("prompt_embeds_mask")
    monkeypatch.setattr(QwenImagePipeline, "encode_prompt", lambda *_, **__: known)
    pipe.default_sample_size = 8
    calls: list[int] = []
    pipe.transformer.register_forward_hook(lambda *_: calls.append(1))
    monkeypatch.chdir(ROOT)
    names = {"pipe": pipe, "prompt": "a red fox"}
    exec(block, names)
    assert isinstance(names["image"], Image.Image)
    assert len(calls) == 2 * 17
