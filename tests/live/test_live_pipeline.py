"""Whoever holds a pipeline calibrates, refines and judges without the command line."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import FluxPipeline
from torch import nn

import meancache_plan
from meancache_plan import calibrate, evaluate, load_profile, load_schedule, refine, solve
from meancache_plan.errors import InputError, MeanCacheError
from meancache_plan.measure import calibrate as measuring
from meancache_plan.source.diffusers.pipeline import Pipeline
from meancache_plan.source.recipe import Recipe
from meancache_runtime import attach
from meancache_runtime.errors import UnsupportedPipelineError
from tests.families.flux import CASES as FLUX
from tests.living.offloading import OFFLOADS
from tests.runtime.hosts.diffusers.loras import add
from tests.tiny import SIDE, TEXT_LENGTH, tiny_flux

STEPS = 6
BUDGET = 3
SIZE = {"height": SIDE, "width": SIDE, "max_sequence_length": TEXT_LENGTH}
CALL = {"num_inference_steps": STEPS, "guidance_scale": 1.0, **SIZE}
PROMPTS = ["a cat", "a dog"]


class Own(FluxPipeline):
    """Somebody's own pipeline, whose call has other parameters."""

    def __call__(self, prompt: Any, brightness: float = 1.0, **kwargs: Any) -> Any:
        return super().__call__(prompt, guidance_scale=brightness, **kwargs)


def _adapted(pipe: FluxPipeline) -> None:
    add(pipe, "style")


def _compiled(pipe: FluxPipeline) -> None:
    pipe.transformer = torch.compile(pipe.transformer, backend="eager")


def _quantised(pipe: FluxPipeline) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated in favour of torchao
        pipe.transformer = torch.ao.quantization.quantize_dynamic(
            pipe.transformer, {nn.Linear}, dtype=torch.qint8
        )


def _offloaded(pipe: FluxPipeline) -> None:
    OFFLOADS["model"](pipe, "cpu")


def _offloaded_in_groups(pipe: FluxPipeline) -> None:
    OFFLOADS["group, leaves"](pipe, "cpu")


def _subclassed(pipe: FluxPipeline) -> None:
    pipe.__class__ = Own


@pytest.mark.parametrize(
    ("change", "call"),
    [
        (lambda pipe: None, CALL),
        (_adapted, CALL),
        (_compiled, CALL),
        (_quantised, CALL),
        (_offloaded, CALL),
        (_offloaded_in_groups, CALL),
        (_subclassed, {"num_inference_steps": STEPS, "brightness": 1.0, **SIZE}),
    ],
    ids=["plain", "LoRA", "compiled", "quantised", "offloaded", "in groups", "a subclass"],
)
def test_from_a_pipeline_to_a_judged_schedule(
    cwd: Path,
    capfd: pytest.CaptureFixture[str],
    change: Callable[[FluxPipeline], None],
    call: dict[str, Any],
) -> None:
    pipe = tiny_flux()
    pipe.set_progress_bar_config(disable=False)
    change(pipe)
    found = pipe.transformer, pipe.scheduler, type(pipe)
    profile = calibrate(pipe, PROMPTS, seeds=[3], call=call, runs="runs")
    schedule = solve(profile, budgets=[BUDGET])
    refined = refine(pipe, schedule, profile, PROMPTS, [3], call=call, batch=2, runs=cwd / "runs")
    result = evaluate(pipe, refined, ["an owl"], call=call)
    (plan,) = [row for row in result.rows if row.method == "plan"]
    assert (plan.budget, refined.grid.steps, profile.samples) == (BUDGET, STEPS, 2)
    with attach(pipe, refined) as attached:
        pipe("a fox", **call, output_type="latent")
    assert attached.stats.refreshes == BUDGET
    assert (pipe.transformer, pipe.scheduler, type(pipe)) == found
    assert pipe._progress_bar_config == {"disable": False}
    assert list(cwd.iterdir()) == [cwd / "runs"], "something else was kept"
    assert "it/s" in capfd.readouterr().err, "only the attached call, somebody's own, shows a bar"


def test_full_runs_are_kept_of_the_first_seed_and_taken_where_they_are(cwd: Path) -> None:
    pipe = tiny_flux()
    profile = calibrate(pipe, PROMPTS, [3, 4], call=CALL, runs="runs")
    schedule, made = solve(profile, budgets=[BUDGET]), list[int]()
    for runs in (None, "runs"):
        refined = refine(pipe, schedule, profile, PROMPTS, [3, 4], call=CALL, runs=runs)
        assert refined.calibrated
        assert refined.calibrated.effort
        made.append(refined.calibrated.effort.refinement)
    assert made[0] - made[1] == STEPS * len(PROMPTS)
    with pytest.raises(InputError, match=r"runs: holds no full run .* prompts and first seed"):
        refine(pipe, schedule, profile, PROMPTS, [5], call=CALL, runs=cwd / "runs")


def _controlled() -> tuple[Any, dict[str, Any]]:
    case = next(case for case in FLUX if case.name == "FluxControlNetPipeline")
    call = {**case.call(STEPS), "controlnet_conditioning_scale": 0.7}
    return case.build(), {k: v for k, v in call.items() if k not in ("prompt", "output_type")}


def _fine_tuned() -> tuple[Any, dict[str, Any]]:
    pipe = tiny_flux()
    with torch.no_grad():
        for weight in pipe.transformer.parameters():
            weight.add_(0.1 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(0)))
    return pipe, CALL


@pytest.mark.parametrize("made", [_controlled, _fine_tuned])
def test_what_was_calibrated_with_a_controlnet_or_as_a_fine_tune_is_known_to_be_that(
    made: Callable[[], tuple[Any, dict[str, Any]]],
) -> None:
    pipe, call = made()
    profile = calibrate(pipe, PROMPTS, call=call)
    schedule = solve(profile, budgets=[BUDGET])
    result = evaluate(pipe, schedule, ["an owl"], call=call)
    assert [row.budget for row in result.rows if row.method == "plan"] == [BUDGET]
    attached = attach(pipe, schedule, strict=True, on_unstable="ignore")
    with warnings.catch_warnings(), attached, torch.no_grad():
        warnings.simplefilter("error")
        pipe("a fox", **call, output_type="latent")
    assert (attached.stats.request, attached.stats.refreshes) == ("same", BUDGET)


def test_a_call_that_differs_in_a_setting_is_refused_or_judged_beside_it() -> None:
    pipe, call = _controlled()
    schedule = solve(calibrate(pipe, PROMPTS, call=call), budgets=[BUDGET])
    other = call | {"controlnet_conditioning_scale": 1.0}
    by_default = {k: v for k, v in call.items() if k != "controlnet_conditioning_scale"}
    for asked in (other, by_default):  # whose default is 1
        with pytest.raises(InputError, match=r"controlnet_conditioning_scale is 1\.0 here"):
            evaluate(pipe, schedule, ["an owl"], call=asked)
        found = evaluate(pipe, schedule, ["an owl"], call=asked, also=True)
        assert found.request == {"controlnet_conditioning_scale": 1.0}
    known = meancache_plan.with_measured(schedule, found)
    with attach(pipe, known, strict=True, on_unstable="ignore") as attached, torch.no_grad():
        pipe("a fox", **other, output_type="latent")
    assert attached.stats.request == "measured"


def test_it_measures_what_the_command_would_and_prints_nothing(
    cwd: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    profile = calibrate(tiny_flux(), PROMPTS, call=CALL)
    assert capfd.readouterr() == ("", "")
    recipe = Recipe(
        steps=STEPS,
        height=SIDE,
        width=SIDE,
        guidance=1.0,
        dtype="float32",
        call={"max_sequence_length": TEXT_LENGTH},
    )
    source = Pipeline(tiny_flux(), recipe, "FluxPipeline")
    expected = measuring.calibrate(source, PROMPTS, [0], cwd / "p")
    assert profile.fingerprint == expected.fingerprint
    assert calibrate(source, PROMPTS).fingerprint == expected.fingerprint


def test_with_a_path_results_are_written_and_an_interruption_loses_nothing(cwd: Path) -> None:
    pipe, done = tiny_flux(), list[int]()

    def stop(samples: int, total: int) -> None:
        done.append(samples)
        if samples == 1 and done.count(1) == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        calibrate(pipe, PROMPTS, path="p", call=CALL, progress=stop)
    profile = calibrate(pipe, PROMPTS, path="p", call=CALL, progress=stop)
    assert done == [0, 1, 1, 2]
    assert load_profile("p").fingerprint == profile.fingerprint
    schedule = refine(pipe, solve(profile, [BUDGET]), profile, PROMPTS, call=CALL, path="s.json")
    assert load_schedule("s.json") == schedule
    result = evaluate(pipe, schedule, ["an owl"], call=CALL, path="e.json")
    assert len(json.loads((cwd / "e.json").read_text())["rows"]) == len(result.rows)
    assert {file.name for file in cwd.iterdir()} == {"p", "s.json", "e.json"}


def test_a_bar_is_drawn_where_one_is_asked_for(capfd: pytest.CaptureFixture[str]) -> None:
    calibrate(tiny_flux(), ["a cat"], call=CALL, progress=True)
    assert "calibrating 1/1" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ({"prompt": "a"}, "leave out prompt"),
        ({"sigmas": [1.0, 0.5]}, "leave out sigmas: the noise levels are the scheduler's"),
        ({"latents": torch.zeros(1)}, "leave out latents: samples begin with the noise"),
        ({"num_images_per_prompt": 2}, "leave out num_images_per_prompt"),
        ({"num_inference_steps": 1}, "steps"),
        ({"guidance_scale": "much"}, "guidance"),
        ({"height": 0}, "height"),
        ({"joint_attention_kwargs": {"f": print}}, "is a builtin_function_or_method"),
        ({"no_such_argument": 1}, "no_such_argument"),
    ],
)
def test_a_call_that_cannot_be_is_refused_by_its_argument(
    call: dict[str, Any], reason: str
) -> None:
    with pytest.raises(InputError, match=reason):
        calibrate(tiny_flux(), PROMPTS, call=CALL | call)


def test_what_is_no_pipeline_or_no_list_is_refused(tiny_flux: FluxPipeline) -> None:
    with pytest.raises(UnsupportedPipelineError, match="give a diffusers pipeline"):
        calibrate(object(), PROMPTS)
    with pytest.raises(InputError, match="prompts is 'a cat': give a list of strings"):
        calibrate(tiny_flux, "a cat", call=CALL)
    with pytest.raises(InputError, match="at least one prompt"):
        calibrate(tiny_flux, [], call=CALL)


def test_samples_made_otherwise_than_calibrated_are_refused(tiny_flux: FluxPipeline) -> None:
    profile = calibrate(tiny_flux, PROMPTS, call=CALL)
    schedule = solve(profile, [BUDGET])
    for other in ({"num_inference_steps": 5}, {"height": 2 * SIDE}, {"guidance_scale": 2.0}):
        with pytest.raises(InputError, match="calibrate"):
            evaluate(tiny_flux, schedule, ["an owl"], call=CALL | other)
        with pytest.raises(MeanCacheError, match="calibrate"):
            refine(tiny_flux, schedule, profile, PROMPTS, call=CALL | other)


def test_a_tensor_in_a_call_is_told_by_its_values(tiny_flux: FluxPipeline) -> None:
    values = torch.zeros(1, TEXT_LENGTH, 16)

    def made(embedding: torch.Tensor) -> Any:
        call = CALL | {"true_cfg_scale": 2.0, "negative_prompt_embeds": embedding}
        call["negative_pooled_prompt_embeds"] = embedding[:, 0]
        return calibrate(tiny_flux, ["a cat"], call=call)

    first, again, other = made(values), made(values.clone()), made(values + 1)
    assert first.fingerprint == again.fingerprint != other.fingerprint
    assert first.settings.guidance == {"guidance_scale": 1.0, "true_cfg_scale": 2.0}
    assert not np.allclose(first.grams, other.grams)


def test_a_pipelines_own_steps_count_where_none_are_given(tiny_flux: FluxPipeline) -> None:
    assert calibrate(tiny_flux, ["a cat"], call=SIZE, propagation=False).steps == 28


def test_all_of_it_is_exported() -> None:
    wanted = {"calibrate", "solve", "refine", "evaluate", "load_profile", "save_profile"}
    assert wanted | {"load_schedule", "save_schedule"} <= set(meancache_plan.__all__)
