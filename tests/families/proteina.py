"""RFD4-Proteina: molecules, whose backbone and whose latents move by a scheduler each."""

from __future__ import annotations

from typing import Any

from tests.families.case import Case, Refusal, seeded
from tests.families.later import (
    RFD4ProteinaAutoencoder,
    RFD4ProteinaPipeline,
    RFD4ProteinaScheduler,
    RFD4ProteinaTransformer,
)
from tests.families.text_to_image import quiet

SIZES: dict[str, Any] = {
    "nlayers": 1,
    "token_dim": 16,
    "nheads": 2,
    "dim_cond": 8,
    "pair_repr_dim": 8,
    "latent_dim": 4,
    "token_type_emb_dim": 4,
}
KINDS = 3
"""Residue types, and token types."""


def _scheduler() -> Any:
    return RFD4ProteinaScheduler(schedule_mode="log", noise_mode="1/t", tsr_k=1.0, tsr_sigma=1.0)


def _proteina() -> Any:
    vae = RFD4ProteinaAutoencoder(
        atom37_mask=[[True] * 37] * KINDS,
        allowed_residue_types=[[True] * KINDS] * KINDS,
        n_residue_types=KINDS,
        num_token_types=KINDS,
        **SIZES,
    )
    return quiet(
        RFD4ProteinaPipeline(
            transformer=RFD4ProteinaTransformer(**SIZES),
            vae=vae,
            bb_ca_scheduler=_scheduler(),
            local_latents_scheduler=_scheduler(),
        )
    )


CASES: tuple[Case, ...] = ()
REFUSALS = (
    Refusal(
        "RFD4ProteinaPipeline",
        lambda: seeded(_proteina),
        lambda _steps: {},
        "RFD4-Proteina",
        error="UnsupportedPipelineError",
        match="RFD4ProteinaPipeline has no scheduler",
        reason="it has two schedulers, neither of which is called `scheduler`",
    ),
)
