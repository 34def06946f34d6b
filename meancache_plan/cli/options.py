"""Arguments and options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

PROFILE = "meancache.profile.safetensors"
"""Where ``calibrate`` writes and ``solve`` reads, unless told otherwise."""

Model = Annotated[
    str | None,
    typer.Argument(
        help="A diffusers pipeline: directory, hub id, or 'reference'; by default --recipe's "
        "model, or 'reference'."
    ),
]
RecipeName = Annotated[str | None, typer.Option("--recipe", help="Recipe name or TOML file.")]
Prompts = Annotated[str | None, typer.Option(help="Text file, one prompt a line, or a list.")]
Seeds = Annotated[str | None, typer.Option(help="Seeds: 0-4, or 1,5,9.")]
Device = Annotated[str | None, typer.Option(help="Such as cuda:1 or cpu; by default the best.")]
Offload = Annotated[str, typer.Option(help="none, model or sequential: trade time for memory.")]
ScheduleFile = Annotated[Path, typer.Option("--schedule", "-s", help="The schedule to replay.")]
