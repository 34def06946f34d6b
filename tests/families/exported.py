"""Which pipelines diffusers exports, and which of them this folder has a word on."""

from __future__ import annotations

import diffusers

from tests.families import catalogue, known_modular, outside, versions

NO_PIPELINE = ("Output", "Config", "Blocks")
"""How names end that have "Pipeline" in them and are of no pipeline."""


def exported() -> frozenset[str]:
    """Names of the pipeline classes that the installed diffusers exports; none is imported."""
    names = (name for name in dir(diffusers) if "Pipeline" in name)
    return frozenset(name for name in names if not name.endswith(NO_PIPELINE))


def tested() -> frozenset[str]:
    """Classes that a case tries, or a refusal."""
    return frozenset(row.name.split(",")[0] for row in (*catalogue.CASES, *catalogue.REFUSALS))


def read() -> tuple[str, ...]:
    """Classes that were read and not tried: flow matching or not, ordinary or modular."""
    return (
        *(name for _, names in known_modular.KNOWN for name in names.split()),
        *(name for _, names in outside.REASONS for name in names.split()),
    )


def new() -> list[str]:
    """Classes that diffusers exports and nothing is said of."""
    return sorted(exported() - tested() - set(read()))


def gone() -> list[str]:
    """Classes of which something is said and which diffusers does not export, though it could."""
    return sorted((tested() | set(read())) - exported() - versions.later())


def news() -> str:
    """What the installed diffusers has that is not written here, and the other way round."""
    lines = [f"{name}: new, and nothing is said of it" for name in new()]
    lines += [f"{name}: not exported, and something is said of it" for name in gone()]
    head = f"diffusers {diffusers.__version__} exports {len(exported())} pipelines"
    return "\n".join((head, *(lines or ["something is said of each of them"]))) + "\n"
