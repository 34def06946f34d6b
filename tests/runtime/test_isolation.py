"""meancache_runtime needs the standard library alone, attach torch too; loading does nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
GOOD = ROOT / "tests" / "corpus" / "good" / "every-field.json"

BLOCK = """
import sys

class Blocked:
    names = {
        "accelerate", "diffusers", "flip_evaluator", "huggingface_hub", "matplotlib",
        "meancache_plan", "networkx", "numpy", "peft", "PIL", "pydantic", "rich", "safetensors",
        "scipy", "tests", "tokenizers", "torchmetrics", "transformers", "typer",
    }

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.names:
            raise ModuleNotFoundError(f"No module named {name!r} (blocked)", name=name)
        return None

sys.meta_path.insert(0, Blocked())
"""

ALONE = """
Blocked.names |= {"jax", "mlx", "torch"}
import sys
import meancache_runtime
from meancache_runtime import Replay, Table, integrate, load_schedule
from meancache_runtime.binding import bind

schedule = load_schedule(sys.argv[1])
budget = schedule.budgets[0]
z = integrate(lambda z, sigma: z, 1.0, schedule, budget=budget)
table = Table.of(bind(schedule.plan(budget), schedule.grid.sigmas, schedule.grid.displaced))
machine, again = table.machine(), 1.0
for sigma, following in zip(table.sigmas, table.sigmas[1:]):
    again += (following - sigma) * machine.advance(again)
assert 0 < abs(z) < 2 and abs(again - z) < 1e-12, (z, again)
table.to_json()
loaded = {name.partition(".")[0] for name in sys.modules}
assert not Blocked.names & loaded
assert not [name for name in sys.modules if name.startswith("meancache_runtime.hosts.diffusers")]
try:
    meancache_runtime.attach
except ModuleNotFoundError:
    pass
else:
    raise AssertionError("attach came without torch")
print("ok")
"""

REPLAY = """
import warnings
warnings.simplefilter("ignore")  # torch mentions that numpy is missing
import torch
before = set(sys.modules)
import meancache_runtime
from meancache_runtime import Replay, attach, integrate, load_schedule
own = {name.partition(".")[0] for name in set(sys.modules) - before}
assert own - set(sys.stdlib_module_names) == {"meancache_runtime"}, own

schedule = load_schedule(sys.argv[1])
z = integrate(lambda z, sigma: z, torch.ones(3), schedule, budget=schedule.budgets[0])
assert z.isfinite().all()
try:
    attach(object(), schedule, budget=schedule.budgets[0])
except meancache_runtime.errors.UnsupportedPipelineError:
    pass
else:
    raise AssertionError
assert not Blocked.names & {name.partition(".")[0] for name in sys.modules}
print("ok")
"""

LOAD = """
import sys
import meancache_runtime.schedule
from meancache_runtime.schedule import load_schedule
modules = set(sys.modules)
allowed = sys.argv[1]

def audit(event, arguments):
    if event.startswith(("socket.", "subprocess.", "os.system", "ctypes.", "urllib.")):
        raise AssertionError(event)
    if event in ("import", "exec", "compile"):
        raise AssertionError((event, arguments))
    if event == "open":
        assert str(arguments[0]) == allowed, arguments

sys.addaudithook(audit)
schedule = load_schedule(allowed)
assert set(sys.modules) == modules
assert schedule.budgets
sys.stdout.write("ok\\n")
"""


def python(source: str, *arguments: str) -> str:
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    environment["PYTHONPATH"] = str(ROOT / "runtime")
    done = subprocess.run(
        [sys.executable, "-c", source, *arguments],
        env=environment,
        cwd=ROOT / "runtime",
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_reading_binding_and_following_a_plan_need_no_package_at_all():
    assert python(BLOCK + ALONE, str(GOOD)) == "ok"


def test_attach_runs_with_torch_and_the_standard_library_alone():
    assert python(BLOCK + REPLAY, str(GOOD)) == "ok"


def test_loading_imports_opens_and_runs_nothing():
    assert python(LOAD, str(GOOD)) == "ok"
