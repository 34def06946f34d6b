"""Where the bundled data lies: the only module that builds such paths.

In a checkout the data are the repository's own ``calibration/`` and ``schedules/`` folders, so that
edits count at once; in an installed wheel they are copies inside the package.
"""

from pathlib import Path

from meancache_plan.errors import InputError

_PACKAGE = Path(__file__).resolve().parents[1]
_BUNDLED = _PACKAGE / "_bundled"
_ROOT = _BUNDLED if _BUNDLED.is_dir() else _PACKAGE.parent

REFERENCE = "reference"
"""The name that stands for the embedded reference pipeline, as a model and as a recipe."""

VIDEO_REFERENCE = "reference-video"
"""The same for the reference pipeline of videos, which is in a checkout alone."""

NAMED = (REFERENCE, VIDEO_REFERENCE)


def reference_pipeline(name: str = REFERENCE) -> Path:
    """Directory of an embedded pipeline, for ``from_pretrained`` of ``FluxPipeline``, or of
    ``WanPipeline`` with the name of the reference pipeline of videos.

    Raises:
        InputError: It is not here: the installed package has that of images alone.
    """
    folder = _ROOT / "calibration" / name
    if not (folder / "model_index.json").is_file():
        raise InputError(
            f"{name}: is not part of the installed package: clone the repository and run there, or "
            f"take the model {REFERENCE}"
        )
    return folder


def source_of(model: str) -> str:
    """What ``from_pretrained`` takes for a model: the folder of an embedded one, else its name.

    Raises:
        InputError: The embedded pipeline of this name is not here.
    """
    return str(reference_pipeline(model)) if model in NAMED else model


def recipe_files() -> dict[str, Path]:
    """Every bundled recipe: name → TOML file."""
    found = sorted((_ROOT / "calibration" / "models").glob("*.toml"))
    return {file.stem: file for file in found}


def schedule_files() -> dict[str, Path]:
    """Every bundled schedule: ``<model>/<grid>``, such as ``qwen-image/50-steps`` → JSON file."""
    found = sorted((_ROOT / "schedules").glob("*/*.json"))
    return {f"{file.parent.name}/{file.stem}": file for file in found}


def prompt_file(name: str) -> Path:
    """A prompt list: a path of the user's own, or the name of a bundled list.

    Raises:
        InputError: Neither exists; the message names the bundled lists.
    """
    folder = _ROOT / "calibration" / "prompts"
    for candidate in (Path(name), folder / f"{name}.txt"):
        if candidate.is_file():
            return candidate
    known = ", ".join(sorted(file.stem for file in folder.glob("*.txt")))
    raise InputError(f"{name}: no such prompt file; give a text file, or a bundled list: {known}")
