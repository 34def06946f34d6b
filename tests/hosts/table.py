"""The table of hosts: ``python -m tests.hosts.table`` prints docs/HOSTS.md.

It runs every host, and ``--write`` writes the page where it belongs.
"""

from __future__ import annotations

import argparse
import platform
from importlib.metadata import version
from pathlib import Path

from tests.hosts import conformance
from tests.hosts.catalogue import HOSTS
from tests.hosts.conformance import PLANS, ROUNDINGS, RUNS, STEPS
from tests.hosts.host import Host

PAGE = Path(__file__).parents[2] / "docs" / "HOSTS.md"

WORDS = f"""\
# Hosts

A host is what owns the sampling loop. Every host below followed the same {len(PLANS)} plans of
{STEPS} steps on the same velocity field, a closed form in a model's place
(`pytest tests/hosts`):

- its latents are those of the specification's formulas in float64, to {ROUNDINGS} roundings of
  its dtype (of numbers up to 2);
- the model is called exactly once a refresh, and twice with guidance by two calls;
- a second run equals the first, bit for bit, and so does one after a run that broke off;
- a velocity with NaN, another grid and another step count are refused by the names below.

The plans: {", ".join(PLANS)}.
`make hosts` runs all hosts and writes this page, with the errors that were raised and the versions
that ran.

"""

AFTER = """
No GPU was used and no published model's weights; of vLLM-Omni, SGLang-Diffusion, ComfyUI and mflux
only fakes of their interfaces ran for this page; what else did is said where each is described.
More on each: [pipelines with `attach`](PIPELINES.md),
[`attach` or `MeanCacheScheduler`](../runtime/README.md#attach-or-meancachescheduler),
[servers](SERVERS.md), [ComfyUI](../integrations/comfyui/README.md),
[JAX](../runtime/README.md#in-jax), [mflux](../runtime/README.md#in-mflux) and
[a loop of your own](../runtime/README.md#in-a-loop-of-your-own).
"""

HEAD = (
    "Host",
    "What was run",
    "Versions",
    "Latents",
    *(case[0].upper() + case[1:] for case in RUNS),
)


def page() -> str:
    """The whole page, of what the hosts do here and now.

    Raises:
        AssertionError: A host does not conform.
    """
    return WORDS + _rows(HEAD, *map(observed, HOSTS)) + AFTER


def observed(host: Host) -> tuple[str, ...]:
    """A host's row; its plan of every predictor is followed in each of its dtypes."""
    plan = next(iter(PLANS))
    for dtype in host.dtypes:
        _, run = conformance.start(host, plan, dtype)
        assert abs(run() - conformance.expected(plan)).max() <= conformance.allowed(dtype), host
    versions = (f"{package} {version(package).split('+')[0]}" for package in host.packages)
    return (
        host.name,
        host.ran,
        ", ".join(versions) or f"Python {'.'.join(platform.python_version_tuple()[:2])}",
        ", ".join(host.dtypes),
        *(_refusal(host, case) for case in RUNS),
    )


def _refusal(host: Host, case: str) -> str:
    if case == "NaN" and host.silent:
        return host.silent
    try:
        conformance.run_refused(host, case)
    except Exception as error:  # of whatever name: the test knows which it has to be
        return f"`{type(error).__name__}`"
    raise AssertionError(f"{host.name} runs with {case}")


def _rows(*rows: tuple[str, ...]) -> str:
    lines = [rows[0], ("---",) * len(rows[0]), *rows[1:]]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write docs/HOSTS.md")
    if parser.parse_args().write:
        PAGE.write_text(page(), encoding="utf-8")
    else:
        print(page(), end="")
