"""``evaluate --also``: plans are judged at other requests too, which the runtime then knows."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
from peft import get_peft_model_state_dict

from meancache_plan import load_schedule
from meancache_plan.judge.other_requests import words
from meancache_runtime import attach
from meancache_runtime import load_schedule as load_for_replay
from meancache_runtime.errors import ModelMismatchError, RequestMismatchError
from tests.commands import STEPS, refuse, run
from tests.runtime.hosts.diffusers.loras import add
from tests.tiny import SIDE, TEXT_LENGTH, tiny_flux

BIG = 2 * SIDE
MODEL = ("model", "--recipe", "tiny.toml")


def calibrate() -> None:
    run("calibrate", *MODEL, "-o", "p.safetensors", "--no-propagation")
    run("solve", "p.safetensors", "--budget", "4", "-o", "schedule.json")


def test_another_size_and_precision_are_measured_noted_and_then_known(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    calibrate()
    requests = ("--also", f"height={BIG},width={BIG}", "--also", "dtype=bfloat16")
    run("evaluate", *MODEL, "--limit", "1", *requests, "--record")
    told = capsys.readouterr().out
    assert f"Other than in calibration: height {BIG}, width {BIG}." in told
    assert "Other than in calibration: dtype bfloat16." in told
    [plan] = load_schedule("schedule.json").plans
    assert plan.measured is not None
    size, half = plan.also
    assert size.request == {"height": BIG, "width": BIG}
    assert (size.elements, size.calls) == (4 * 16 * 16, (1,) * STEPS)
    assert half.request == {"dtype": "bfloat16"}
    assert size.measured.psnr_latent != plan.measured.psnr_latent != half.measured.psnr_latent
    schedule, pipe = load_for_replay("schedule.json"), tiny_flux()
    call = {"num_inference_steps": STEPS, "max_sequence_length": TEXT_LENGTH, "guidance_scale": 1.0}
    with warnings.catch_warnings(), attach(pipe, schedule, strict=True) as attached:
        warnings.simplefilter("error")
        with torch.no_grad():
            pipe("a cow", height=BIG, width=BIG, output_type="latent", **call)
        assert attached.stats.request == "measured"
        with pytest.raises(RequestMismatchError, match="height"), torch.no_grad():
            pipe("a cow", height=BIG, width=SIDE, output_type="latent", **call)


def test_settings_of_the_call_are_measured_noted_and_then_known(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    calibrate()
    asked = "joint_attention_kwargs.scale=0.5,max_sequence_length=8"
    run("evaluate", *MODEL, "--limit", "1", "--also", asked, "--record")
    said = "Other than in calibration: joint_attention_kwargs.scale 0.5, max_sequence_length 8."
    assert said in " ".join(capsys.readouterr().out.split())
    [plan] = load_schedule("schedule.json").plans
    [row] = plan.also
    assert row.request == {"joint_attention_kwargs.scale": 0.5, "max_sequence_length": 8}
    schedule, pipe = load_for_replay("schedule.json"), tiny_flux()
    call = {"num_inference_steps": STEPS, "max_sequence_length": 8, "guidance_scale": 1.0}
    call |= {"height": SIDE, "width": SIDE, "output_type": "latent"}
    scale = {"joint_attention_kwargs": {"scale": 0.5}}
    following = attach(pipe, schedule, strict=True, on_unstable="ignore")
    with warnings.catch_warnings(), following as attached, torch.no_grad():
        warnings.simplefilter("error")
        pipe("a cow", **call | scale)
        assert attached.stats.request == "measured"
        with pytest.raises(RequestMismatchError, match="has max_sequence_length 8"):
            pipe("a cow", **call)


def save_lora(file: Path) -> None:
    """Write random weights for the tiny pipeline, as training scripts do."""
    pipe = tiny_flux()
    add(pipe, "style")
    type(pipe).save_lora_weights(
        file.parent,
        transformer_lora_layers=get_peft_model_state_dict(pipe.transformer, adapter_name="style"),
        weight_name=file.name,
    )


def test_a_lora_and_other_seeds_are_measured_and_an_unmeasured_scale_of_it_is_not_known(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    calibrate()
    save_lora(Path("style.safetensors"))
    lora = "lora=style.safetensors,scale=0.5"
    requests = ("--also", "seeds=7-8", "--also", lora)
    run("evaluate", *MODEL, "--limit", "1", *requests, "--record")
    told = capsys.readouterr().out
    assert "Other than in calibration: seeds 7-8." in told
    assert "Other than in calibration: the adapters " in told
    [plan] = load_schedule("schedule.json").plans
    assert plan.measured is not None
    seeds, styled = plan.also
    assert seeds.request == {"seeds": "7-8"}
    assert (plan.measured.samples, seeds.measured.samples, styled.measured.samples) == (1, 2, 1)
    assert seeds.measured.psnr_latent != plan.measured.psnr_latent != styled.measured.psnr_latent
    schedule, pipe = load_for_replay("schedule.json"), tiny_flux()
    call = {"num_inference_steps": STEPS, "max_sequence_length": TEXT_LENGTH, "guidance_scale": 1.0}
    call |= {"height": SIDE, "width": SIDE, "output_type": "latent"}
    pipe.load_lora_weights("style.safetensors", adapter_name="another name")
    pipe.set_adapters(["another name"], [0.5])
    call["generator"] = torch.Generator().manual_seed(0)
    following = attach(pipe, schedule, strict=True, on_unstable="ignore")
    with warnings.catch_warnings(), following as attached:
        warnings.simplefilter("error")
        with torch.no_grad():
            pipe("a cow", **call)
        assert attached.stats.request == "measured"
        pipe.set_adapters(["another name"], [1.0])
        with pytest.raises(ModelMismatchError, match="with no adapters, but this"), torch.no_grad():
            pipe("a cow", **call)


REQUESTS = {
    "lora=nowhere.safetensors": "the LoRA nowhere.safetensors: no such file",
    "lora=p.safetensors": "the LoRA p.safetensors cannot be loaded into this FluxPipeline",
    "scale=0.5": "scale is that of a LoRA: give lora=FILE too",
    "seeds=x": "seeds",
    "seeds=9": "seeds is 9 in calibration",
    "height": "give name=value, with a name of height, width",
    "sead=3": "give name=value, with a name of height, width",
    "eta=0.5": "give name=value, with a name of height, width",
    "seeds.of=3": "give name=value, with a name of height, width",
    "joint_attention.scale=3": "or of a setting of the call of FluxPipeline",
    "max_sequence_length=long": "max_sequence_length is a number, or true or false, not 'long'",
    f"max_sequence_length={TEXT_LENGTH}": f"max_sequence_length is {TEXT_LENGTH}.0 in calibration",
    "guider.start=0.2": "guider.start: this FluxPipeline has no guider",
    "height=tall": "height is a number, not 'tall'",
    f"height={SIDE}": f"height is {SIDE} in calibration",
    "frames=5": "frames is None in calibration",
    "dtype=int8": "dtype",
}


def test_a_wish_that_says_nothing_new_is_refused(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    calibrate()
    for asked, says in REQUESTS.items():
        assert says in refuse(capsys, "evaluate", *MODEL, "--limit", "1", "--also", asked), asked


def test_requests_are_told_in_words() -> None:
    request = {"height": 96.0, "true_cfg_scale": 2.5, "negative_prompt": False, "dtype": "float16"}
    said = "height 96, true_cfg_scale 2.5, no negative prompt, dtype float16"
    assert words(request) == said
    assert words({"adapters": "none", "seeds": "7-9"}) == "no adapters, seeds 7-9"
    two = " ".join(f"sha256:{digit * 64}" for digit in "12")
    assert words({"adapters": two}) == "the adapters 11111111, 22222222"
