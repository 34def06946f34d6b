"""Arguments and options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

PROFILE = "meancache.profile.safetensors"
"""Where ``calibrate`` writes and ``solve`` reads, unless told otherwise."""

Model = Annotated[
    str | None,
    typer.Argument(
        help="A diffusers pipeline: directory, hub id, or 'reference'; by default the model of "
        "--recipe, or 'reference'."
    ),
]
RecipeName = Annotated[
    str | None,
    typer.Option(
        "--recipe", help="How samples are made: the name of a bundled recipe, or a TOML file."
    ),
]
Prompts = Annotated[
    str | None,
    typer.Option(help="A text file with one prompt a line, or the name of a bundled list."),
]
Seeds = Annotated[
    str | None, typer.Option(help="Seeds of the noise, each used with every prompt: 0-4, or 1,5,9.")
]
Batch = Annotated[
    int,
    typer.Option(
        min=1, help="Samples that the pipeline makes at a time: more memory, and often faster."
    ),
]
Device = Annotated[
    str | None, typer.Option(help="Device to run on, such as cuda:1 or cpu; by default the best.")
]
Offload = Annotated[
    str,
    typer.Option(
        help="Keep parts of the model in main memory, to save the GPU's: none, model, group or "
        "sequential."
    ),
]
AnyDevice = Annotated[
    bool,
    typer.Option(
        "--any-device",
        help="Let devices of other kinds resume or share this work; which of them did a part then "
        "shows in its last digits.",
    ),
]
ScheduleFile = Annotated[Path, typer.Option("--schedule", "-s", help="The schedule to replay.")]
