"""What the command says before it works: at once, as nothing heavy is imported for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

import meancache_plan

HEAVY = {"diffusers", "matplotlib", "networkx", "numpy", "scipy", "torch"}
HEAVY |= {"safetensors", "transformers"}

ASK = """
import contextlib, io, json, sys
from meancache_plan.cli import app

def ask(*words):
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        with contextlib.suppress(Exception, SystemExit):
            app(list(words), standalone_mode=False)

import typer.main
commands = list(typer.main.get_command(app).commands)
heavy = set(json.loads(sys.argv[1]))
found = {}
asked = [[], ["--help"], ["--version"], ["--nonsense"], ["no-such-command"]]
asked += [[name, option] for name in commands for option in ("--help", "--nonsense")]
for words in asked:
    ask(*words)
    found[" ".join(words)] = sorted(heavy & sys.modules.keys())
json.dump(found, sys.stdout)
"""
"""Every question in one process, in which what was once imported stays."""


def process(*command: str, **environment: str) -> str:
    """The standard output of a fresh process that must succeed."""
    done = subprocess.run(
        [sys.executable, *command], env=os.environ | environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout


def test_help_version_and_bad_usage_import_nothing_heavy() -> None:
    found = json.loads(process("-c", ASK, json.dumps(sorted(HEAVY))))
    assert {"--help", "solve --help", "calibrate --nonsense"} <= found.keys()
    assert not {words: modules for words, modules in found.items() if modules}


def test_completion_names_the_commands_and_imports_nothing_heavy() -> None:
    code = (
        "import atexit, json, sys\n"
        f"heavy = {sorted(HEAVY)}\n"
        "atexit.register(lambda: print([name for name in heavy if name in sys.modules]))\n"
        "sys.argv = ['meancache-plan']\n"
        "from meancache_plan.cli import main\n"
        "main()\n"
    )
    asked = {"COMP_WORDS": "meancache-plan ca", "COMP_CWORD": "1"}
    said = process("-c", code, _MEANCACHE_PLAN_COMPLETE="complete_bash", **asked).split("\n")
    assert said[:2] == ["calibrate", "[]"]


def test_a_real_process_helps_and_tells_its_version() -> None:
    assert "calibrate" in process("-m", "meancache_plan", "--help")
    told = process("-m", "meancache_plan", "--version")
    assert told == f"meancache-plan {meancache_plan.__version__}\n"


def test_every_exported_name_is_there_and_no_other() -> None:
    assert set(meancache_plan.__all__) <= set(dir(meancache_plan))
    for name in meancache_plan.__all__:
        assert getattr(meancache_plan, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'absent'"):
        meancache_plan.absent  # noqa: B018
