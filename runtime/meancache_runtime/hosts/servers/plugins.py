"""What servers find under our name, and call in each of their processes.

Nothing else is imported until a server's environment offers a schedule.
"""

from .offer import is_offered


def vllm_omni() -> None:
    """The plug-in of vLLM-Omni. Raises ScheduleError, BudgetError: the offer cannot be read."""
    if is_offered():
        from .vllm_omni import register

        register()


def sglang() -> None:
    """The plug-in of SGLang-Diffusion."""
    if is_offered():
        from .sglang import register

        register()
