"""Two processes share a transformer's work: weights (FSDP2), tokens (context parallel), branches.

It is recognised all the same.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

BEGIN = """
import sys
import torch
import torch.distributed as dist

rank, store = int(sys.argv[1]), sys.argv[2]
dist.init_process_group("gloo", store=dist.FileStore(store, 2), rank=rank, world_size=2)
"""

END = """
dist.destroy_process_group()
print("ok")
"""

SHARDED = """
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
torch.accelerator.device_count = lambda: 1  # diffusers counts accelerators, of which a CPU is none

from diffusers import ContextParallelConfig
from dataclasses import replace
from meancache_runtime import MeanCacheScheduler, attach
from meancache_runtime.hosts.diffusers.identity import fingerprint, kind
from tests.counting import count_calls
from tests.plans import BUDGET, SCHEDULE
from tests.runtime.hosts.diffusers.tiny_runs import run
from tests.tiny import tiny_flux

def check(pipe, calls):
    with attach(pipe, SCHEDULE) as attached:
        torch.testing.assert_close(run(pipe), alone, rtol=0, atol=1e-5)
    assert len(calls) == attached.stats.denoiser_calls == BUDGET, calls
    pipe.scheduler = MeanCacheScheduler.from_schedule(pipe.scheduler, SCHEDULE, budget=BUDGET)
    torch.testing.assert_close(run(pipe), alone, rtol=0, atol=1e-5)
    assert len(calls) == 2 * BUDGET, calls

pipe = tiny_flux()
with attach(pipe, SCHEDULE):
    alone = run(pipe)

pipe = tiny_flux()
calls = count_calls(pipe.transformer)
known = fingerprint(pipe), kind(pipe)
for block in (*pipe.transformer.transformer_blocks, *pipe.transformer.single_transformer_blocks):
    fully_shard(block)
fully_shard(pipe.transformer)
assert (fingerprint(pipe), kind(pipe)) == known
assert all(isinstance(weight, DTensor) for weight in pipe.transformer.parameters())
check(pipe, calls)

pipe = tiny_flux()
calls = count_calls(pipe.transformer)
pipe.transformer.enable_parallelism(config=ContextParallelConfig(ulysses_degree=2))
tokens = []
pipe.transformer.transformer_blocks[0].register_forward_pre_hook(
    lambda _, args, kwargs: tokens.append(kwargs["hidden_states"].shape[1]), with_kwargs=True
)
check(pipe, calls)
assert tokens == [8] * 2 * BUDGET, tokens  # of 16

[plan] = SCHEDULE.plans
narrow = replace(SCHEDULE, plans=(replace(plan, innovation=(1e-9,) * (len(plan.knots) - 1)),))
pipe = tiny_flux()
with attach(pipe, narrow, on_unstable="refresh") as attached:
    strayed = run(pipe)
taken = attached.stats.denoiser_calls
assert taken > BUDGET, taken
pipe = tiny_flux()
pipe.transformer.enable_parallelism(config=ContextParallelConfig(ulysses_degree=2))
with attach(pipe, narrow, on_unstable="refresh") as attached:
    torch.testing.assert_close(run(pipe), strayed, rtol=0, atol=1e-5)
assert attached.stats.denoiser_calls == taken
"""

BRANCHES = """
import warnings
from dataclasses import replace
from meancache_runtime import attach
from meancache_runtime.annotations import Generation
from meancache_runtime.call_settings import guidance
from tests.families.case import run
from tests.families.stable_diffusion_3 import CASES
from tests.runtime import by_hand

case, knots = CASES[0], (0, 2, 6)
scales = guidance(case.call(case.steps))
made = Generation(None, None, None, scales, "float32", calls=(2,) * case.steps)
schedule = replace(by_hand.schedule(case.steps, knots), generation=made)
warnings.simplefilter("error")

def one_branch(hidden_states, **kwargs):
    mine = {k: v.chunk(2)[rank] if torch.is_tensor(v) else v for k, v in kwargs.items()}
    found = forward(hidden_states.chunk(2)[rank], **mine)[0]
    both = [torch.empty_like(found) for _ in range(2)]
    dist.all_gather(both, found.contiguous())
    return (torch.cat(both),)

pipe = case.build()
with attach(pipe, schedule, strict=True):
    (alone,) = run(pipe, case.call(case.steps))
pipe = case.build()
forward = pipe.transformer.forward
pipe.transformer.forward = one_branch
with attach(pipe, schedule, strict=True) as attached:
    (found,) = run(pipe, case.call(case.steps))
torch.testing.assert_close(found, alone, rtol=0, atol=1e-5)
assert attached.stats.denoiser_calls == len(knots), attached.stats
"""


@pytest.mark.parametrize("script", [SHARDED, BRANCHES], ids=["weights and tokens", "branches"])
def test_both_ranks_follow_the_plan_to_the_latents_of_one_process(
    tmp_path: Path, script: str
) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "runtime")))}
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", BEGIN + script + END, str(rank), str(tmp_path / "store")],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        for process in ranks:
            out, errors = process.communicate(timeout=300)
            assert out.strip() == "ok", errors
    finally:
        for process in ranks:
            process.kill()  # one that waits for another that failed
