"""What users of other caches reported, and which test tries it on ours, or why none does."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]


class Report(NamedTuple):
    """A situation.

    Attributes:
        where: Projects and threads that tell of it.
        situation: What was done there.
        here: What happens in the same situation here.
        tests: ``file::function``, of this repository's tests; none where the situation cannot be
            tried on a tiny pipeline, and ``here`` says why.
    """

    where: str
    situation: str
    here: str
    tests: tuple[str, ...] = ()


LIVING, RUNTIME = "tests/living", "tests/runtime/hosts/diffusers"
GRADES = f"{RUNTIME}/test_request_grades.py"
OTHERS = f"{GRADES}::test_another_request_is_named_in_every_run_and_said_aloud_once"

REPORTS = (
    Report(
        "diffusers 14025",
        "two denoisers (Wan 2.2), steps counted wrongly across the boundary",
        "a knot where they change; without one the run is refused there",
        (
            f"{RUNTIME}/test_switch.py::test_a_plan_with_a_knot_at_the_switch_is_followed",
            f"{RUNTIME}/test_switch.py::"
            "test_a_plan_without_that_knot_is_refused_where_the_pipeline_switches",
        ),
    ),
    Report(
        "diffusers 12012, 12760, 14093",
        "a warm run, then a cache on, off, and another; image-to-image and Kontext too",
        "each as if it were alone",
        (
            f"{LIVING}/test_caches.py::test_after_it_is_turned_off_all_is_as_before",
            f"{LIVING}/test_caches.py::test_a_run_from_a_picture_is_as_before_too",
        ),
    ),
    Report(
        "diffusers 14829, 14831; sglang 40447",
        "Qwen-Image with the keys of its text kept",
        "equal, and not taken for another cache",
        (f"{LIVING}/test_caches.py::test_keys_of_the_text_may_be_kept_which_changes_nothing",),
    ),
    Report(
        "cache-dit 540; sglang 16490, 16962",
        "50 steps, then 30, then 50; a warm-up of one step first",
        "`StepCountError`, and then bit-identical",
        (
            f"{LIVING}/test_reports.py::"
            "test_a_request_of_other_steps_is_refused_and_leaves_nothing_for_the_next",
        ),
    ),
    Report(
        "cache-dit 76; ComfyUI 14795",
        "compiled before or after; graph breaks, recompilations",
        "nothing is compiled again",
        (
            f"{LIVING}/test_compile.py::"
            "test_a_compiled_denoiser_replays_the_same_and_compiles_in_its_first_run_alone",
        ),
    ),
    Report(
        "cache-dit 457, 622; vllm-omni 6180",
        "context or sequence parallel: ranks decide differently",
        "all ranks follow the same plan, and where samples stray, refresh together",
        (
            f"{LIVING}/test_sharded.py::"
            "test_both_ranks_follow_the_plan_to_the_latents_of_one_process",
        ),
    ),
    Report(
        "sglang 35054; vllm-omni 2860",
        "guidance by two calls, by one batch, by one branch a rank, by a wrong flag",
        "passes of a sample through the denoiser are counted, whatever the form; where ranks share "
        "the branches within one call it counts as one of both",
        (
            f"{GRADES}::test_calls_are_counted_by_sample_be_they_apart_or_in_one_batch",
            f"{LIVING}/test_sharded.py::"
            "test_both_ranks_follow_the_plan_to_the_latents_of_one_process",
            OTHERS,
        ),
    ),
    Report(
        "sglang 17140; ComfyUI-TeaCache 62; Wan2GP 368",
        "another size or length than calibrated",
        "a warning, or refused if strict; by the latents too, where the call does not tell",
        (
            OTHERS,
            f"{RUNTIME}/test_settings.py::"
            "test_what_is_other_is_named_once_and_a_strict_attachment_refuses_it",
        ),
    ),
    Report(
        "sglang 36767; Comfy-WaveSpeed 15",
        "prompts A, B, A; a long prompt, then a short one",
        "the third equals the first",
        (f"{LIVING}/test_reports.py::test_nothing_of_the_prompts_before_is_left_in_a_request",),
    ),
    Report(
        "vllm-omni 2194, 2240",
        "steps left out; `sigmas=` given",
        "`StepCountError`; the schedule's own levels are followed",
        (
            f"{LIVING}/test_reports.py::"
            "test_steps_left_to_the_pipeline_are_refused_and_its_own_levels_may_be_given",
        ),
    ),
    Report(
        "vllm-omni 7335, 4621",
        "the cache never caches, and nothing is said; denoiser replaced after enabling",
        "`ReplacedComponentError`",
        (f"{RUNTIME}/test_attach_refuses.py::test_a_component_swapped_while_attached",),
    ),
    Report(
        "vllm-omni 1710",
        "CPU offload in its forms, before and after",
        "the same replay; group offload by CUDA streams needs a GPU",
        (
            f"{LIVING}/test_offload.py::test_an_offloaded_pipeline_replays_the_same",
            f"{LIVING}/test_offload.py::test_offloading_while_attached_takes_effect_and_outlives_it",
        ),
    ),
    Report(
        "vllm-omni 3775",
        "two requests interleaved through one pipeline",
        "`ReplayError` in the second thread",
        (f"{RUNTIME}/test_attach_refuses.py::test_one_pipeline_serves_one_call_at_a_time",),
    ),
    Report(
        "vllm-omni 5840",
        "a threshold a little higher halves the quality",
        "`solve`, `show` and the card name the cliff of the budgets",
        ("tests/show/test_payoff.py::test_the_cliff_is_told_with_the_figures_on_both_sides",),
    ),
    Report(
        "ComfyUI 10344; nunchaku 596",
        "a batch differs from single runs",
        "each picture is that of its own run",
        (f"{LIVING}/test_batches.py::test_every_picture_of_a_batch_is_the_one_of_its_own_run",),
    ),
    Report(
        "ComfyUI 14389; diffusers 12198",
        "guidance turned off in mid-run; a guidance interval",
        "a warning at the step, or refused if strict; an interval that was calibrated is known",
        (
            f"{GRADES}::test_guidance_that_a_callback_ends_is_seen_at_the_step_after",
            f"{GRADES}::test_a_guidance_interval_is_seen_where_it_ends_unless_it_was_calibrated",
        ),
    ),
    Report(
        "MagCache 13",
        "calibrated with guidance, run without, or without the negative prompt",
        "a warning, or refused if strict",
        (OTHERS, f"{GRADES}::test_a_strict_attachment_refuses_all_of_them"),
    ),
    Report(
        "ComfyUI-TeaCache 4, 7, 15",
        "a base run, then a second sampler or upscale at strength 0.4",
        "enters the plan in mid-grid, with a warning",
        (f"{RUNTIME}/test_entry.py::test_the_next_run_from_the_first_step_has_no_warning",),
    ),
    Report(
        "ComfyUI-TeaCache 24",
        "a LoRA set after enabling",
        "a warning, or refused if strict",
        (
            f"{LIVING}/test_lora.py::test_an_adapter_loaded_while_attached_counts_and_stays",
            f"{RUNTIME}/test_adapters.py::test_a_swap_while_attached_is_seen_by_the_next_run",
        ),
    ),
    Report(
        "MagCache 26; SmoothCache 6",
        "ratios for other step counts",
        "`solve --steps` carries a profile over; what it costs is tested",
        (
            "tests/measure/test_transfer.py::test_a_plan_from_it_is_within_3_decibels_of_a_native_plan",
        ),
    ),
    Report(
        "WanVideoWrapper 811; SmoothCache 2",
        "4 to 8 distilled steps",
        "`solve` and `show` say that there is little to gain",
        (
            "tests/show/test_payoff.py::test_a_run_of_few_steps_has_little_to_gain_and_a_long_one_is_not_said_to",
        ),
    ),
    Report(
        "LeMiCa 7; TeaCache 2, 80; xDiT 654",
        "how to calibrate one's own model, with ControlNet or a fine-tune",
        "`calibrate`, `solve` and `evaluate` take the pipeline that one holds",
        (
            "tests/live/test_live_pipeline.py::test_from_a_pipeline_to_a_judged_schedule",
            "tests/live/test_live_pipeline.py::"
            "test_what_was_calibrated_with_a_controlnet_or_as_a_fine_tune_is_known_to_be_that",
        ),
    ),
    Report(
        "verl-omni 391; Flow-Factory 196",
        "a training step through the denoiser while the cache is enabled",
        "passes through, with gradients",
        (
            f"{LIVING}/test_reports.py::"
            "test_a_training_step_through_the_denoiser_passes_while_a_plan_is_attached",
        ),
    ),
    Report(
        "tried here",
        "NaN from the model at one knot",
        "`NonFiniteError`, which names the knot",
        (f"{GRADES}::test_not_a_number_is_refused_at_the_knot",),
    ),
    Report(
        "tried here",
        "another cache enabled in the denoiser after attaching",
        "`StackedCacheError`",
        (
            f"{LIVING}/test_caches.py::"
            "test_one_that_is_enabled_after_attaching_is_refused_before_the_denoiser_runs",
        ),
    ),
    Report(
        "vllm-omni 3011",
        "another attention backend alone costs more than a cache does",
        "a warning, or refused if strict",
        (OTHERS,),
    ),
    Report(
        "tried here",
        "a denoiser wrapped by FSDP2",
        "known as the same model",
        (f"{LIVING}/test_reports.py::test_a_denoiser_that_fsdp_shares_is_the_same_model",),
    ),
)
