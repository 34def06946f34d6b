"""Which host sees what: ``python -m tests.hosts.sees`` prints the table of runtime/README.md.

``--write`` writes it there. Each cell is what a host did when the schedule said that something else
had been calibrated than what it runs.
"""

from __future__ import annotations

import argparse
import logging
import re
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from meancache_runtime import MeanCacheWarning
from meancache_runtime.annotations import Generation
from meancache_runtime.errors import MeanCacheError
from meancache_runtime.schedule import Adapter, Model, Schedule
from tests.hosts import conformance
from tests.hosts.catalogue import HOSTS
from tests.hosts.conformance import KNOTS, NOISE, PLANS, RUNS, SIGMAS, STEPS
from tests.hosts.host import SIZE, Host
from tests.hosts.host import Model as Field

PAGE = Path(__file__).parents[2] / "runtime" / "README.md"
HEADING = "## Which host sees what"

COLUMNS = {
    "diffusers, `attach`": "`attach`",
    "diffusers, `MeanCacheScheduler`": "`MeanCacheScheduler`",
    "vLLM-Omni": "vLLM-Omni",
    "SGLang-Diffusion": "SGLang",
    "ComfyUI": "ComfyUI",
    "mflux": "mflux",
    "JAX": "JAX",
    "torch": "`integrate`",
}
"""The hosts of the table, and what it calls them."""

WORDS = """
A request that is other than what was calibrated is *refused* by name, or *warned* of, as far as a
host sees it; — is not seen. Where the schedule says that its plan was measured at a request, there
is no warning of it; `attach(…, strict=True)` refuses whatever else it would warn of.
`python -m tests.hosts.sees --write` makes this table of what the hosts did.

"""

AFTER = """
*Another setting* is any number or truth value of a call that steers its samples: how strongly it
asks for a LoRA (`joint_attention_kwargs={"scale": …}`), for a ControlNet
(`controlnet_conditioning_scale`) or for a picture, how long a text may be
(`max_sequence_length`). A guider that is a component of the pipeline (Motif-Video, HunyuanImage)
is looked at before each step, and where there is a callback so are those settings of the call that
the pipeline keeps for it (`_guidance_scale`).

Servers see a size and guidance that a request states. `MeanCacheScheduler` sees by its velocities a
model of half precision where another was calibrated. Where a host does not see what is other, its
schedule's bounds may, if it costs much and the host looks at them: JAX and mflux do not, and
`python -m benchmarks.stability` measures what they catch. They alone can tell

- a fine-tune of the same shape in a folder of its own; of another hub id it is another model;
- what a text encoder was taught (textual inversion, a LoRA of its own): to a plan that is what
  another prompt is;
- what pictures show, and what embeddings say that are given in place of texts, a negative prompt's
  too;
- another prompt that a callback gives in mid-run, and what it does to the latents.
"""

SAME = Generation(
    height=None,
    width=None,
    frames=None,
    guidance={"true_cfg_scale": 1.0},
    dtype="float32",
    negative_prompt=False,
    elements=SIZE // 2,
    calls=(1,) * STEPS,
    settings={},
)
WITH_GUIDANCE = replace(SAME, guidance={}, calls=(2,) * STEPS)
ADAPTED = Model("tiny", None, None, None, None, (Adapter("style", "sha256:" + "0" * 64),))
MODEL = Model("owner/another", None, "sha256:" + "0" * 64, None, None, ())


def calibrated(made: Generation) -> Callable[[Schedule], Schedule]:
    """The schedule, with samples that were made like this."""
    return lambda schedule: replace(schedule, generation=made)


def _made(**other: object) -> Callable[[Schedule], Schedule]:
    """A schedule whose calibration samples were other than what hosts run."""
    return calibrated(replace(SAME, **other))


def _bounded(schedule: Schedule) -> Schedule:
    [plan] = schedule.plans
    narrow = replace(plan, innovation=(1e-9,) * (len(KNOTS) - 1))
    return replace(schedule, plans=(narrow,))


OTHERS: dict[str, Callable[[Schedule], Schedule]] = {
    "another model": lambda schedule: replace(schedule, model=MODEL),
    "another sampler": lambda schedule: replace(
        schedule, grid=replace(schedule.grid, replaces="UniPCMultistepScheduler")
    ),
    "another LoRA, IP-Adapter or ControlNet": lambda schedule: replace(schedule, model=ADAPTED),
    "another size": _made(elements=4 * SIZE),
    "another guidance scale": _made(guidance={"true_cfg_scale": 4.0}),
    "another setting of the call": _made(settings={"max_sequence_length": 77}),
    "a guider set otherwise": _made(settings={"guider.guidance_scale": 5.0}),
    "a guidance branch more or less": _made(calls=(2,) * STEPS),
    "a negative prompt, or none": _made(negative_prompt=True),
    "another dtype": _made(dtype="bfloat16"),
    "another attention backend": _made(attention="flash"),
    "other quantisation": _made(quantisation="Int8Tensor"),
    "a sample beyond its bounds": _bounded,
}


def page() -> str:
    """The section of the page, without its heading."""
    head = ("", *COLUMNS.values())
    rows = [head, ("---",) * len(head)]
    hosts = [next(host for host in HOSTS if host.name == name) for name in COLUMNS]
    rows += [(case, *(_refused(host, case) for host in hosts)) for case in RUNS if case != "NaN"]
    rows += [(name, *(done(host, other) for host in hosts)) for name, other in OTHERS.items()]
    rows.append(("another cache in the model", *map(_cached, hosts)))
    rows.append(("NaN from the model", *(_refused(host, "NaN") for host in hosts)))
    table = "".join(f"| {' | '.join(cells)} |\n".replace("|  |", "| |") for cells in rows)
    return WORDS + table + AFTER


def done(host: Host, other: Callable[[Schedule], Schedule]) -> str:
    """What a host does with a plan that was calibrated otherwise."""
    return _told(lambda: _run(host.build, host, other(PLANS["every predictor"])))


def _cached(host: Host) -> str:
    build = host.cached
    return "—" if build is None else _told(lambda: _run(build, host, PLANS["every predictor"]))


def _refused(host: Host, case: str) -> str:
    return _told(lambda: conformance.run_refused(host, case))


def _run(build: Callable[..., Callable[..., object]], host: Host, schedule: Schedule) -> None:
    build(schedule, schedule.budgets[0], Field(), host.dtypes[0])(NOISE, SIGMAS)


def _told(run: Callable[[], object]) -> str:
    log = _Log()
    loggers = [logging.getLogger(f"{name}.meancache") for name in ("vllm", "sglang")]
    for logger in loggers:
        logger.addHandler(log)
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            run()
    except MeanCacheError:
        return "refused"
    finally:
        for logger in loggers:
            logger.removeHandler(log)
    return "warned" if log.warned or any(_is_ours(each) for each in warned) else "—"


def _is_ours(warning: warnings.WarningMessage) -> bool:
    return warning.category is MeanCacheWarning


class _Log(logging.Handler):
    warned = False

    def emit(self, record: logging.LogRecord) -> None:
        """Remember a warning."""
        self.warned |= record.levelno >= logging.WARNING


def section(text: str) -> str:
    """What stands beneath the heading on a page."""
    return re.split(r"^## ", text.partition(f"{HEADING}\n")[2], flags=re.M)[0]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write it into runtime/README.md")
    if parser.parse_args().write:
        text = PAGE.read_text(encoding="utf-8")
        old, new = (f"{HEADING}\n{part}" for part in (section(text), page() + "\n"))
        PAGE.write_text(text.replace(old, new), encoding="utf-8")
    else:
        print(page(), end="")
