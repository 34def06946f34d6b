"""The oldest versions that are promised are those that `make test-oldest` runs with."""

from __future__ import annotations

import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from tests.families import versions

ROOT = Path(__file__).parent.parent

NOT_RUN = {
    "torch": "no build of the oldest one for CPUs is on PyPI",
    "meancache-runtime": "it is this repository's own",
}
"""Of what the oldest version is promised and not run, and why."""

TOOLS = {"import-linter", "pyright", "ruff", "torchao"}
"""What the tests of `make test-oldest` do not use of the extra `test`."""


def pinned() -> dict[str, Version]:
    """Names and versions of constraints-oldest.txt."""
    lines = (ROOT / "constraints-oldest.txt").read_text(encoding="utf-8").splitlines()
    pairs = (line.split("==") for line in lines if not line.startswith("#"))
    return {name: Version(number) for name, number in pairs}


def promised() -> dict[str, Version]:
    """The oldest version that is promised of each requirement, of several the oldest."""
    found: dict[str, Version] = {}
    for text in [*requirements(ROOT), *requirements(ROOT / "runtime")]:
        requirement = Requirement(text)
        oldest = min(Version(each.version) for each in requirement.specifier)
        found[requirement.name] = min(oldest, found.get(requirement.name, oldest))
    return found


def requirements(folder: Path) -> list[str]:
    """What a package needs, and its extras by which the tests of `make test-oldest` run."""
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = [name for name in extras if name in ("test", "torch", "diffusers", "jax")]
    return [*project["dependencies"], *(text for name in wanted for text in extras[name])]


def test_each_is_the_oldest_that_is_promised():
    oldest = {name: found for name, found in promised().items() if name not in {*NOT_RUN, *TOOLS}}
    assert oldest.items() <= pinned().items()


def test_the_oldest_diffusers_is_the_one_that_the_page_of_pipelines_names():
    assert Version(versions.OLDEST) == pinned()["diffusers"]


@pytest.mark.skipif(not versions.is_old(), reason="of `make test-oldest` alone")
def test_what_is_installed_is_what_is_pinned():
    others = {name: version(name) for name, oldest in pinned().items() if not is_of(oldest, name)}
    assert not others


def is_of(oldest: Version, name: str) -> bool:
    """Whether the installed version is this one, or a repair of it."""
    return Version(version(name)).release[: len(oldest.release)] == oldest.release
