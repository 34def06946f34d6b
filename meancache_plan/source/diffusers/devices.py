"""What a pipeline computes on, as far as its samples' bits depend on it."""

from typing import Any

import torch

from meancache_plan.source.diffusers.parallel import shared


def computed_on(pipe: Any) -> dict[str, str]:
    """The kind of device, the threads of a CPU, and how a model is spread or shared, if it is.

    Where two pipelines agree in these and in their libraries, they compute the same bits.
    """
    device = torch.device(pipe._execution_device)
    spread = set((getattr(pipe, "hf_device_map", None) or {}).values())
    found = {"device": device.type}
    if device.type == "cuda":
        found = {"device": torch.cuda.get_device_name(device)}
    if device.type == "cpu":
        kind = torch.backends.cpu.get_cpu_capability()
        found = {"device": f"CPU {kind}", "threads": str(torch.get_num_threads())}
    if len(spread) > 1:
        found["devices"] = str(len(spread))
    way = shared(pipe)
    return found if way is None else found | {"parallel": way}
