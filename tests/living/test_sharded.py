"""Two processes share a transformer: its weights (FSDP2), and its tokens (context parallel).

It is recognised all the same.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

RANK = """
import sys
import torch
import torch.distributed as dist
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

rank, store = int(sys.argv[1]), sys.argv[2]
dist.init_process_group("gloo", store=dist.FileStore(store, 2), rank=rank, world_size=2)
torch.accelerator.device_count = lambda: 1  # diffusers counts accelerators, of which a CPU is none

from diffusers import ContextParallelConfig
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

dist.destroy_process_group()
print("ok")
"""


def test_both_ranks_follow_the_plan_to_the_latents_of_one_process(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "runtime")))}
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", RANK, str(rank), str(tmp_path / "store")],
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
