"""The application: which commands there are, and how it ends on bad input."""

import sys
from typing import Annotated

import typer

from meancache_plan.cli.calibrate import calibrate, merge
from meancache_plan.cli.compare import compare
from meancache_plan.cli.evaluate import evaluate
from meancache_plan.cli.export import export
from meancache_plan.cli.generate import generate
from meancache_plan.cli.import_plans import import_plans
from meancache_plan.cli.pack import pack
from meancache_plan.cli.quiet import quieten
from meancache_plan.cli.recipes import recipes
from meancache_plan.cli.refine import refine
from meancache_plan.cli.report import report
from meancache_plan.cli.show import show
from meancache_plan.cli.solve import solve
from meancache_plan.cli.start import start
from meancache_plan.errors import MeanCacheError
from meancache_plan.show.terminal.console import complain, say
from meancache_plan.version import __version__

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)

COMMANDS = (
    calibrate,
    merge,
    solve,
    refine,
    start,
    import_plans,
    evaluate,
    compare,
    generate,
    show,
    report,
    pack,
    export,
    recipes,
)

for command in COMMANDS:
    app.command()(command)


def _tell_version(asked: bool) -> None:
    if asked:
        say(f"meancache-plan {__version__}")
        raise typer.Exit


@app.callback()
def tell(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version and exit.", callback=_tell_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Compile cache schedules for flow-matching pipelines: calibrate, solve, replay, prove."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line: bad input ends with one message and exit code 2."""
    quieten()
    try:
        app(arguments)
    except MeanCacheError as error:
        complain(str(error))
        sys.exit(2)
