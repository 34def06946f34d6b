"""The application: which commands there are, and how it ends on bad input."""

import os
import sys
import warnings

import typer

from meancache_plan.cli.calibrate import calibrate, merge
from meancache_plan.cli.compare import compare
from meancache_plan.cli.evaluate import evaluate
from meancache_plan.cli.generate import generate
from meancache_plan.cli.import_table import import_table
from meancache_plan.cli.pack import pack
from meancache_plan.cli.recipes import recipes
from meancache_plan.cli.report import report
from meancache_plan.cli.show import show
from meancache_plan.cli.solve import solve
from meancache_plan.errors import MeanCacheError
from meancache_plan.show.terminal.console import complain

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode="markdown",
    help="Compile cache schedules for flow-matching pipelines: calibrate, solve, replay, prove.",
)

COMMANDS = (
    calibrate,
    merge,
    solve,
    import_table,
    evaluate,
    compare,
    generate,
    show,
    report,
    pack,
    recipes,
)

for command in COMMANDS:
    app.command()(command)


OF_NO_USE = r"torchvision\.(io\.image|models\._utils)"
"""Modules that warn of their own parts, unused here, and of arguments that LPIPS gives them."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line: bad input ends with one message and exit code 2."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
    warnings.filterwarnings("ignore", category=UserWarning, module=OF_NO_USE)
    try:
        app(arguments)
    except MeanCacheError as error:
        complain(str(error))
        sys.exit(2)
