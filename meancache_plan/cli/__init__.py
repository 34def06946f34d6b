"""The ``meancache-plan`` command: a module for each group of commands; parse, call, print."""

from meancache_plan.cli.commands import app, main

__all__ = ["app", "main"]
