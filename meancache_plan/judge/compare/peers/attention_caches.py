"""Caches of diffusers that skip attention: Pyramid Attention Broadcast, FasterCache."""

from collections.abc import Sequence
from typing import Any

from meancache_plan.judge.compare.peers.block_caches import enable, hooks
from meancache_plan.judge.contender import Contender, Enter, unavailable
from meancache_plan.judge.sample_cost import Forms
from meancache_plan.source.diffusers.pipeline import Pipeline

EVERYWHERE = (-1, 999)
"""Timesteps between which attention may be skipped: all but the first, which fills the caches."""

MIXED = (
    "keeps one state for all calls of the denoiser: guidance by two calls a step would be "
    "answered with the other call's attention"
)


def pyramid(steps: int, forms: Forms, ranges: Sequence[int]) -> list[Contender]:
    """Pyramid Attention Broadcast: attention is computed every so many steps."""

    def peer(skip: int) -> Contender:
        def config(pipeline: Pipeline) -> Any:
            return hooks().PyramidAttentionBroadcastConfig(
                spatial_attention_block_skip_range=skip,
                spatial_attention_timestep_skip_range=EVERYWHERE,
                current_timestep_callback=lambda: pipeline.pipe.current_timestep,
            )

        return Contender("PAB", f"every {skip}", steps, _if_one_call(forms, enable(config)))

    return [peer(skip) for skip in ranges]


def faster(steps: int, forms: Forms, ranges: Sequence[int]) -> list[Contender]:
    """FasterCache; its part that skips the unconditional branch needs both in one batch."""

    def peer(skip: int) -> Contender:
        def config(pipeline: Pipeline) -> Any:
            return hooks().FasterCacheConfig(
                spatial_attention_block_skip_range=skip,
                spatial_attention_timestep_skip_range=EVERYWHERE,
                attention_weight_callback=_half,
                is_guidance_distilled=forms.batch == 1,
                tensor_format="BCHW" if pipeline.recipe.frames is None else "BCFHW",
                current_timestep_callback=lambda: pipeline.pipe.current_timestep,
            )

        return Contender("FasterCache", f"every {skip}", steps, _if_one_call(forms, enable(config)))

    return [peer(skip) for skip in ranges]


def _half(_module: Any) -> float:
    """The weight that FasterCache takes by default, without its warning."""
    return 0.5


def _if_one_call(forms: Forms, enter: Enter) -> Enter:
    return enter if forms.calls == 1 else unavailable(MIXED)
