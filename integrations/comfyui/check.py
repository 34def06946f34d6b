"""Run the node in a real ComfyUI, headless and on the CPU, on a tiny FLUX of random weights.

    python -m integrations.comfyui.check PATH_TO_COMFYUI

Run it from the repository, in an environment that has ComfyUI's requirements. It fetches nothing
and writes to a temporary folder. Each line says one thing that was seen; the exit status is 1 if
any of them is not so.
"""

import asyncio
import json
import logging
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from meancache_runtime import Schedule, integrate
from meancache_runtime.errors import (
    GridMismatchError,
    MeanCacheError,
    StackedCacheError,
    StepCountError,
    UnsupportedSchedulerError,
)
from meancache_runtime.predictors import Adams, Hold
from meancache_runtime.schedule import Grid, Plan, to_document

HERE = Path(__file__).parent
STEPS = 12
KNOTS = (0, 1, 3, 6, 9)
PREDICTORS = (Hold(), Adams((1.0, 0.9)), Adams((1.0, 1.1)), Adams((1.0, 0.9, 1.1)), Adams((1.0,)))
EVERY, FEW = "every.json", "few.json"
CLOSE = 1e-5
"""How far float32 may be from float64, of the largest latent."""
EXTRAS = ("nodes_custom_sampler.py", "nodes_flux.py", "nodes_sd3.py")
"""Files of ComfyUI's own nodes that the example uses."""

Seen = tuple[bool, str]


class Setting:
    """A ComfyUI with the node in it, a model, conditions, noise and a mask."""

    def __init__(self, comfyui: Path) -> None:
        sys.path.insert(0, str(comfyui))
        import_module("comfy.cli_args").args.cpu = True
        logging.disable(logging.WARNING)
        self.samplers: Any = import_module("comfy.samplers")
        self.nodes: Any = import_module("nodes")
        self.folders: Any = import_module("folder_paths")
        self.version: str = import_module("comfyui_version").__version__
        parts = [*(comfyui / "comfy_extras" / extra for extra in EXTRAS), HERE]
        self.loaded = all(asyncio.run(self.nodes.load_custom_node(str(p))) for p in parts)
        self.model = tiny_flux()
        generator = torch.Generator().manual_seed(0)
        drawn = partial(torch.randn, generator=generator)
        self.conditions = [
            [[drawn(1, length, 24), {"pooled_output": drawn(1, 12), "guidance": 3.5}]]
            for length in (5, 7)
        ]
        self.noise, self.picture = drawn(2, 16, 8, 8), drawn(2, 16, 8, 8)
        self.mask = torch.zeros(1, 1, 8, 8)
        self.mask[..., 4:] = 1
        self.sigmas = self.levels(STEPS)

    def levels(self, steps: int, scheduler: str = "simple") -> torch.Tensor:
        """ComfyUI's own noise levels for the model."""
        sampling = self.model.get_model_object("model_sampling")
        return self.samplers.calculate_sigmas(sampling, scheduler, steps)

    def node(self, file: str, budget: int, sigmas: Any = None) -> tuple[Any, torch.Tensor]:
        """What the node gives: a sampler, and noise levels."""
        made = self.nodes.NODE_CLASS_MAPPINGS["MeanCacheSchedule"]
        return made.execute(schedule=file, budget=budget, path="", sigmas=sigmas).result

    def guided(self, guider: Any, cfg: float) -> Any:
        """A guider with the conditions."""
        guider.set_conds(*self.conditions)
        guider.set_cfg(cfg)
        return guider

    def run(self, sampler: Any, sigmas: Any = None, **given: Any) -> SimpleNamespace:
        """Latents, and how often guider and callback were called."""
        calls: list[float] = []
        steps: list[int] = []

        class Counted(self.samplers.CFGGuider):
            def predict_noise(self, x: Any, timestep: Any, *rest: Any, **options: Any) -> Any:
                calls.append(float(timestep[0]))
                return super().predict_noise(x, timestep, *rest, **options)

        def seen(step: int, *_: Any) -> None:
            steps.append(step)

        guider = self.guided(Counted(given.pop("model", self.model)), given.pop("cfg", 1.0))
        sigmas = self.sigmas if sigmas is None else sigmas
        with torch.inference_mode():
            latents = guider.sample(
                self.noise.clone(),
                self.picture.clone() if "denoise_mask" in given else torch.zeros_like(self.noise),
                sampler,
                sigmas,
                callback=seen,
                disable_pbar=True,
                seed=1,
                **given,
            )
        return SimpleNamespace(latents=latents, calls=calls, steps=steps)


def tiny_flux() -> Any:
    """ComfyUI's FLUX, of one block each, 32 channels wide, with random weights, in its patcher."""
    shape = {"in_channels": 16, "out_channels": 16, "patch_size": 2, "vec_in_dim": 12}
    width = {"context_in_dim": 24, "hidden_size": 32, "num_heads": 2, "axes_dim": [4, 6, 6]}
    depth = {"depth": 1, "depth_single_blocks": 1, "mlp_ratio": 2.0, "theta": 10000}
    kind = {"image_model": "flux", "guidance_embed": True, "qkv_bias": True}
    config = import_module("comfy.supported_models").Flux(
        {**kind, **shape, **width, **depth, "dtype": torch.float32}
    )
    model = config.get_model({}, "", device="cpu")
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        parameter.requires_grad_(False).normal_(0, 0.2, generator=generator)
    cpu = torch.device("cpu")
    return import_module("comfy.model_patcher").ModelPatcher(model, cpu, cpu)


def write_schedules(folder: Path, levels: torch.Tensor) -> dict[str, Schedule]:
    """A plan that refreshes at every step, and one that does not, as files."""
    grid = Grid(STEPS, tuple(levels.tolist()), 0.0)
    every = Plan(STEPS, tuple(range(STEPS)), (Hold(),) * STEPS)
    made = {EVERY: every, FEW: Plan(len(KNOTS), KNOTS, PREDICTORS)}
    schedules = {name: Schedule(None, grid, (plan,)) for name, plan in made.items()}
    for name, schedule in schedules.items():
        text = json.dumps(to_document(schedule, schedule.budgets[0]))
        (folder / name).write_text(text, encoding="utf-8")
    return schedules


def look(at: Setting) -> Iterator[Seen]:
    """Everything that is checked, in turn."""
    yield at.loaded, "ComfyUI's loader takes the package"
    with tempfile.TemporaryDirectory() as folder:
        at.folders.add_model_folder_path("meancache", folder)
        schedules = write_schedules(Path(folder), at.sigmas)
        yield from look_at_steps(at)
        yield from look_at_few(at, schedules[FEW])
        yield from look_at_refusals(at)
        yield look_at_graph(at)
    yield from look_at_example(at)


def ways(at: Setting) -> dict[str, dict[str, Any]]:
    """How ComfyUI may be asked to sample."""
    mask = {"denoise_mask": at.mask}
    return {"plain": {}, "CFG": {"cfg": 3.5}, "mask": mask, "CFG and mask": {"cfg": 3.5, **mask}}


def look_at_steps(at: Setting) -> Iterator[Seen]:
    """With a refresh at every step nothing changes."""
    sampler, sigmas = at.node(EVERY, STEPS)
    yield torch.equal(sigmas, at.sigmas), "the node gives the schedule's own noise levels"
    euler = at.samplers.sampler_object("euler")
    for name, given in ways(at).items():
        same = torch.equal(at.run(sampler, sigmas, **given).latents, at.run(euler, **given).latents)
        yield same, f"{name}: a knot at every step gives the bits of ComfyUI's Euler"


def look_at_few(at: Setting, schedule: Schedule) -> Iterator[Seen]:
    """With fewer refreshes: the calls, and the latents that the plan says."""
    budget = len(KNOTS)
    sampler, sigmas = at.node(FEW, budget)
    expected = at.samplers.KSAMPLER(in_float64(schedule))
    for name, given in ways(at).items():
        run, again = at.run(sampler, sigmas, **given), at.run(sampler, sigmas, **given)
        right = run.calls == [float(sigmas[k]) for k in KNOTS] and run.steps == list(KNOTS)
        yield right, f"{name}: {len(run.calls)} calls and callbacks at budget {budget}"
        yield torch.equal(run.latents, again.latents), f"{name}: a second run gives the same bits"
        off = furthest(run.latents, at.run(expected, **given).latents)
        yield off < CLOSE, f"{name}: within {off:.1e} of integrate in float64"
        if "denoise_mask" in given:
            kept = furthest(run.latents[..., :4], at.picture[..., :4])
            yield kept < CLOSE, f"{name}: what the mask keeps is kept within {kept:.1e}"


def in_float64(schedule: Schedule) -> Callable[..., torch.Tensor]:
    """A sampler function that takes all steps with ``integrate``, to compare with."""

    def sample(model: Any, x: Any, sigmas: Any, extra_args: Any, **_: Any) -> Any:
        def velocity(z: Any, sigma: float) -> Any:
            denoised = model(z.float(), x.new_full([len(x)], sigma), **extra_args)
            return (z - denoised) / sigma

        budget = schedule.budgets[0]
        return integrate(velocity, x.double(), schedule, budget=budget, sigmas=sigmas.tolist())

    return sample


def look_at_refusals(at: Setting) -> Iterator[Seen]:
    """What the plan was not made for does not run."""
    caches: Any = import_module("comfy_extras.nodes_easycache")
    sampler, sigmas = at.node(FEW, len(KNOTS))
    rest = (0.2, 0.15, 0.95, False)
    cached = {
        "EasyCache": caches.EasyCacheNode.execute(at.model, *rest).result[0],
        "LazyCache": caches.LazyCacheNode.execute(at.model, *rest).result[0],
    }
    for name, model in cached.items():
        yield refused(StackedCacheError, name, lambda m=model: at.run(sampler, sigmas, model=m))
    other = at.model.clone()
    other.add_object_patch("model_sampling", noise_predicting(at))
    yield refused(UnsupportedSchedulerError, "EPS", lambda: at.run(sampler, sigmas, model=other))
    more, karras = at.levels(STEPS + 1), at.levels(STEPS, "karras")
    for what, levels in {"13 steps": more, "Karras' noise levels": karras}.items():
        error = StepCountError if len(levels) != len(sigmas) else GridMismatchError
        yield refused(error, what, lambda s=levels: at.run(sampler, s))
        yield refused(error, f"{what} at the node", lambda s=levels: at.node(FEW, 5, s))


def noise_predicting(at: Setting) -> Any:
    """A model sampling of ComfyUI's that is no flow."""
    sampling: Any = import_module("comfy.model_sampling")
    return type("ModelSampling", (sampling.ModelSamplingDiscrete, sampling.EPS), {})()


def refused(error: type[MeanCacheError], what: str, run: Callable[[], Any]) -> Seen:
    """Whether a run ends in this very error."""
    try:
        run()
    except error:
        return True, f"{what}: refused, {error.__name__}"
    except MeanCacheError as other:
        return False, f"{what}: refused, but as {type(other).__name__}"
    return False, f"{what}: not refused"


def look_at_graph(at: Setting) -> Seen:
    """Both outputs go into the node that they are for."""
    sampler, sigmas = at.node(FEW, len(KNOTS))
    known = at.nodes.NODE_CLASS_MAPPINGS["SamplerCustomAdvanced"]

    def noise(_: Any) -> torch.Tensor:
        return at.noise.clone()

    given = {
        "noise": SimpleNamespace(seed=1, generate_noise=noise),
        "guider": at.guided(at.samplers.CFGGuider(at.model), 3.5),
        "latent_image": {"samples": torch.zeros_like(at.noise)},
    }
    with torch.inference_mode():
        latents = getattr(known(), known.FUNCTION)(sampler=sampler, sigmas=sigmas, **given)[0][
            "samples"
        ]
    same = torch.equal(latents, at.run(sampler, sigmas, cfg=3.5).latents)
    return same, "SamplerCustomAdvanced gives these latents too"


def look_at_example(at: Setting) -> Iterator[Seen]:
    """Every node of the example workflow is known, with the inputs and outputs that it connects."""
    workflow = json.loads((HERE / "example_workflows" / "flux.json").read_text(encoding="utf-8"))
    for node in workflow["nodes"]:
        known = at.nodes.NODE_CLASS_MAPPINGS.get(node["type"])
        inputs: dict[str, Any] = {}
        for part in known.INPUT_TYPES().values() if known else ():
            inputs |= part
        sockets = all(inputs.get(i["name"], [None])[0] == i["type"] for i in node["inputs"])
        outputs = tuple(o["type"] for o in node["outputs"])
        right = known is not None and sockets and outputs == tuple(known.RETURN_TYPES)
        yield right, f"example: {node['type']}"


def furthest(a: torch.Tensor, b: torch.Tensor) -> float:
    """The greatest difference between two tensors, of the largest entry."""
    return float((a - b).abs().max() / b.abs().max())


def main(arguments: list[str]) -> int:
    """Print what is seen; 0 if all of it is as it should be, 2 for a wrong call."""
    if len(arguments) != 1 or not (Path(arguments[0]) / "comfy").is_dir():
        print("usage: python -m integrations.comfyui.check PATH_TO_COMFYUI", file=sys.stderr)
        return 2
    at = Setting(Path(arguments[0]).resolve())
    print(f"ComfyUI {at.version}, torch {torch.__version__}")
    failed = 0
    for right, line in look(at):
        failed += not right
        print(f"{'ok    ' if right else 'FAILED'} {line}")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
