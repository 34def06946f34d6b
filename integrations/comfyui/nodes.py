"""The node: it reads a schedule, chooses a budget, and gives a sampler and its noise levels."""

import hashlib
import os
from pathlib import Path
from typing import Any

import folder_paths
import torch
from comfy.samplers import KSAMPLER
from comfy_api.latest import ComfyExtension, io

from meancache_runtime import Schedule, load_schedule
from meancache_runtime.errors import GridMismatchError, MeanCacheError, ScheduleNotFoundError
from meancache_runtime.hosts.comfyui import check_sigmas, sampler_function
from meancache_runtime.snapshot import locate

FOLDER = "meancache"
"""Where schedules lie: ``ComfyUI/models/meancache``, and what ``extra_model_paths.yaml`` adds."""

BY_PATH = "from path"
"""The choice that takes a file from anywhere on this machine."""


class MeanCacheSchedule(io.ComfyNode):
    """A schedule's plan for one budget, for SamplerCustomAdvanced."""

    @classmethod
    def define_schema(cls) -> Any:
        """Its inputs and outputs, as ComfyUI shows them."""
        return io.Schema(
            node_id="MeanCacheSchedule",
            display_name="MeanCache schedule",
            category="sampling/custom_sampling/samplers",
            description="Follows a calibrated cache schedule: the model runs as often as the "
            "budget says, and the steps between are predicted. Connect both outputs to "
            "SamplerCustomAdvanced.",
            inputs=inputs(),
            outputs=[
                io.Sampler.Output(display_name="sampler"),
                io.Sigmas.Output(display_name="sigmas"),
            ],
        )

    @classmethod
    def execute(cls, schedule: str, budget: int, path: str = "", sigmas: Any = None) -> Any:
        """The sampler that follows the plan, and the noise levels to give it.

        Raises:
            MeanCacheError: The schedule cannot be read or followed, by name and with the fix.
        """
        loaded = load_schedule(find(schedule, path))
        sampler = KSAMPLER(sampler_function(loaded, budget=budget))
        levels = own_sigmas(loaded) if sigmas is None else sigmas
        check_sigmas(loaded, levels)
        return io.NodeOutput(sampler, levels)

    @classmethod
    def validate_inputs(cls, schedule: str | None, budget: int | None, path: str | None) -> Any:
        """True, or what is wrong, before the graph runs; None stands for a link's value."""
        if schedule is None or budget is None or path is None:
            return True
        try:
            sampler_function(load_schedule(find(schedule, path)), budget=budget)
        except (MeanCacheError, OSError) as error:
            return str(error)
        return True

    @classmethod
    def fingerprint_inputs(cls, schedule: str, path: str = "", **_: Any) -> str:
        """Changes when the schedule's file does."""
        return hashlib.sha256(Path(locate(find(schedule, path))).read_bytes()).hexdigest()


class MeanCacheExtension(ComfyExtension):
    """What ComfyUI loads."""

    async def get_node_list(self) -> list[Any]:
        """The nodes: one, whose folder of schedules ComfyUI knows from here on."""
        folder_paths.add_model_folder_path(FOLDER, os.path.join(folder_paths.models_dir, FOLDER))
        folder_paths.folder_names_and_paths[FOLDER][1].add(".json")
        return [MeanCacheSchedule]


def inputs() -> list[Any]:
    """What the node is given; the files are those that are there when ComfyUI asks."""
    return [
        io.Combo.Input(
            "schedule",
            options=[*folder_paths.get_filename_list(FOLDER), BY_PATH],
            tooltip=f"A schedule in models/{FOLDER}, or the one at the path below.",
        ),
        io.Int.Input(
            "budget",
            default=10,
            min=1,
            max=1000,
            tooltip="How many model calls: one of the schedule's budgets.",
        ),
        io.String.Input(
            "path",
            default="",
            tooltip=f"With '{BY_PATH}': a schedule's file, or the folder that holds "
            "meancache_schedule.json.",
        ),
        io.Sigmas.Input(
            "sigmas",
            optional=True,
            tooltip="Noise levels of your own, in place of the schedule's. They are "
            "checked: others than those it was made for are refused.",
        ),
    ]


def find(schedule: str, path: str) -> str:
    """The file or folder of a choice; nothing is fetched, whatever a workflow says.

    Raises:
        ScheduleNotFoundError: There is nothing of this name on this machine.
    """
    if schedule == BY_PATH:
        found = os.path.expanduser(path.strip().strip('"'))
    else:
        found = folder_paths.get_full_path(FOLDER, schedule) or ""
    if not os.path.exists(found):
        named = found or schedule
        raise ScheduleNotFoundError(
            f"{named}: no such schedule on this machine: put one into models/{FOLDER} and choose "
            f"it, or choose '{BY_PATH}' and give its path"
        )
    return os.path.abspath(found)


def own_sigmas(schedule: Schedule) -> torch.Tensor:
    """The noise levels that a schedule states: float32 [T + 1].

    Raises:
        GridMismatchError: It states none.
    """
    if schedule.grid.sigmas is None:
        raise GridMismatchError(
            f"the schedule fits any noise levels of {schedule.grid.steps} steps and states none: "
            f"connect sigmas, of a BasicScheduler with {schedule.grid.steps} steps for instance"
        )
    return torch.tensor(schedule.grid.sigmas, dtype=torch.float32)
