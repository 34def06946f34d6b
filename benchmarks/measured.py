"""Runs benchmarks and keeps what they print as pages: the evidence, with how it was obtained.

    python -m benchmarks.measured [NAME ...] [--list]

A page under ``benchmarks/measured/`` holds what its command printed, word for word, under the
command, the reference pipeline's revision and the machine. Without names every page is made that is
missing or was measured on another pipeline, in the order of :data:`PAGES`; most take minutes to
hours of a core, and go on from where they were stopped.
"""

import argparse
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

from benchmarks.bars import MISSED
from meancache_plan.source import catalog
from meancache_plan.source.diffusers.pipeline_identity import weights_revision

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "benchmarks" / "measured"
SHIPPED = "schedules/reference/50-steps.json"
TRAINING = "calibration/reference/training"

PAGES = {
    "dynamics": "-m benchmarks.dynamics",
    "memorised": f"{TRAINING}/memorised.py",
    "defaults": "-m benchmarks.planners --choose --budgets 8,10,13,16,25",
    "defaults-digits": "-m benchmarks.planners --choose --model digits --budgets 8,10,13,16,25",
    "planners": f"-m benchmarks.planners --calibration 96 --schedule {SHIPPED} "
    "--plot docs/planners.png",
    "planners-known": f"-m benchmarks.planners --known --calibration 96 --schedule {SHIPPED}",
    "planners-no-cfg": "-m benchmarks.planners --no-cfg --calibration 96 "
    "--plot docs/planners-no-cfg.png",
    "planners-digits": "-m benchmarks.planners --model digits --heldout 128 --ablations "
    "--plot docs/planners-digits.png",
    "stages": "-m benchmarks.planners --stages --budgets 8,10,13,16",
    "gains": "-m benchmarks.gains",
    "gains-digits": "-m benchmarks.gains --model digits",
    "prompts": "-m benchmarks.prompts",
    "prompts-digits": "-m benchmarks.prompts --model digits",
    "richer": "-m benchmarks.richer",
    "richer-digits": "-m benchmarks.richer --model digits",
    "richer-joint": "-m benchmarks.richer_joint",
    "compare": "-m benchmarks.compare --only cfg",
    "compare-no-cfg": "-m benchmarks.compare --only no-cfg",
    "headline-50": f"-m benchmarks.headline --only 50 --schedule {SHIPPED}",
    "headline-40": "-m benchmarks.headline --only 40",
    "headline-100": "-m benchmarks.headline --only 100",
    "golden": "-m benchmarks.golden --pool 60 --fitted 10 --searches 30 --calibration 32 "
    "--heldout 32",
    "golden-digits": "-m benchmarks.golden --model digits",
    "stability": "-m benchmarks.stability",
    "stability-cost": "-m benchmarks.stability_cost",
    "finer": "-m benchmarks.finer",
    "finer-no-cfg": "-m benchmarks.finer --no-cfg",
    "samplers": "-m benchmarks.samplers",
    "samplers-chosen": "-m benchmarks.samplers --samplers unipc,finer --choose",
    "transfer": "-m benchmarks.transfer --reference",
    "start": f"-m benchmarks.start --schedule {SHIPPED}",
    "start-digits": "-m benchmarks.start --model digits",
    "start-chosen": "-m benchmarks.start --choose",
    "start-chosen-digits": "-m benchmarks.start --choose --model digits",
    "video": "-m benchmarks.video",
    "prediction": "-m benchmarks.prediction",
    "capture": "-m benchmarks.capture",
    "runtime": "-m benchmarks.runtime",
    "realised": "-m benchmarks.realised",
    "planning": "-m benchmarks.planning",
    "fleet": "-m benchmarks.fleet",
    "fleet-simulated": "-m benchmarks.fleet --simulate",
    "fleet-kills": "-m benchmarks.fleet --kills 50",
}
"""Name of the page → the arguments of ``python`` that measure it."""

OF_VIDEOS = ("video",)
"""Pages that were measured on the reference pipeline of videos."""

REVISION = re.compile(r"^- reference pipeline(?: of videos)?: `(.+)`$", re.M)


def revision(name: str) -> str:
    """That of the reference pipeline that a page is of, as its schedules name it."""
    model = catalog.VIDEO_REFERENCE if name in OF_VIDEOS else catalog.REFERENCE
    return weights_revision(catalog.reference_pipeline(model))


def measured_on(page: Path) -> str | None:
    """The revision that a page was measured on; None if there is no page."""
    if not page.exists():
        return None
    found = REVISION.search(page.read_text(encoding="utf-8"))
    return found and found[1]


def missing() -> Iterator[str]:
    """The pages that are not there, or are another pipeline's."""
    for name in PAGES:
        if measured_on(FOLDER / f"{name}.md") != revision(name):
            yield name


def measure(name: str) -> None:
    """Run a benchmark, showing what it prints, and write its page if it comes to its end.

    Raises:
        SystemExit: It does not: its exit status. A bar that was missed (3) is a result.
    """
    arguments = PAGES[name].split()
    command = f"python {PAGES[name]}"
    print(f"# {name}: {command}", file=sys.stderr, flush=True)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path[1:]])}
    with subprocess.Popen(
        [sys.executable, "-u", *arguments],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as run:
        assert run.stdout is not None
        lines = []
        for line in run.stdout:
            print(line, end="", flush=True)
            lines.append(line.rstrip())
    if run.returncode not in (0, MISSED):
        sys.exit(run.returncode)
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{name}.md").write_text(page(name, command, lines), encoding="utf-8")


def page(name: str, command: str, lines: list[str]) -> str:
    """The page: where the figures are from, and what the command printed."""
    tables = any(line.startswith("|") for line in lines)
    text = "\n".join(lines).strip()
    pipeline = "reference pipeline of videos" if name in OF_VIDEOS else "reference pipeline"
    return (
        f"# {name}\n\n- command: `{command}`\n- {pipeline}: `{revision(name)}`\n"
        f"- machine: {os.cpu_count()} cores, {processor()}; torch {torch.__version__}\n\n"
        + (f"{text}\n" if tables else f"```text\n{text}\n```\n")
    )


def processor() -> str:
    """Its name, as the operating system has it."""
    file = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*: (.+)", file.read_text()) if file.exists() else []
    return names[0] if names else platform.processor()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *PAGES], metavar="NAME")
    parser.add_argument("--list", action="store_true", help="name the pages that are to be made")
    options = parser.parse_args()
    names = options.names or list(missing())
    if options.list:
        print(*names, sep="\n")
        return
    for name in names:
        measure(name)


if __name__ == "__main__":
    main()
