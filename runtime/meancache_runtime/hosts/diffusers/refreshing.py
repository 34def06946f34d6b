"""Whether the denoiser may run at steps that are no knots, where a sample leaves its bounds."""

from typing import Any

from ...errors import ReplayError
from .identity import denoisers, is_of_fsdp


def check_may_refresh(pipe: Any, displaced: bool) -> None:
    """Refuse steps beside the plan's where they would be others, or be waited for.

    Args:
        pipe: The pipeline that is to follow a schedule.
        displaced: Whether the schedule's plans take the place of other steps than Euler's.

    Raises:
        ReplayError: They do; or processes share the weights of a denoiser, and have to call it
            equally often.
    """
    if displaced:
        raise ReplayError(
            "on_unstable 'refresh' takes the sampler's own steps where a sample leaves its bounds, "
            "which a schedule in place of other steps than Euler's cannot mix with its own: choose "
            "'warn' or 'raise'"
        )
    for name, module in denoisers(pipe).items():
        parts = module.modules() if hasattr(module, "modules") else ()
        if any(is_of_fsdp(part.__class__) for part in parts):
            raise ReplayError(
                f"on_unstable 'refresh' runs pipe.{name} where this process's samples leave their "
                "bounds, and processes that share its weights (FSDP) wait for each other there: "
                "choose 'warn' or 'raise'"
            )
