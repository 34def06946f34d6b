"""Ways in which people run a pipeline: which are tested, documented or refused."""

from __future__ import annotations

from typing import Literal, NamedTuple

Verdict = Literal["tested", "documented", "refused"]


class Way(NamedTuple):
    """A way of running a pipeline that follows a plan.

    Attributes:
        name: What people do.
        verdict: Whether it was tested, is refused by name (which is tested too), or is documented
            alone.
        here: What happens; of one that is documented alone, why no test shows it.
        tests: ``file::function``, of this repository's tests.
    """

    name: str
    verdict: Verdict
    here: str
    tests: tuple[str, ...]


LIVING, RUNTIME = "tests/living", "tests/runtime/hosts/diffusers"
FAMILIES = "tests/families/test_families.py::test_replay_equals_the_plan_followed_by_hand"
SHARDED = f"{LIVING}/test_sharded.py::test_both_ranks_follow_the_plan_to_the_latents_of_one_process"
STEPS = (
    f"{LIVING}/test_reports.py::"
    "test_a_request_of_other_steps_is_refused_and_leaves_nothing_for_the_next"
)

WAYS = (
    Way(
        "context parallel (Ulysses)",
        "tested",
        "two processes share each sample's tokens (gloo, on a CPU); all follow one plan, by "
        "`attach` and by `MeanCacheScheduler`",
        (SHARDED,),
    ),
    Way(
        "FSDP2",
        "tested",
        "two processes share the weights (gloo, on a CPU); the model is recognised, and all follow "
        "one plan",
        (
            SHARDED,
            f"{LIVING}/test_reports.py::test_a_denoiser_that_fsdp_shares_is_the_same_model",
        ),
    ),
    Way(
        'FSDP with `on_unstable="refresh"`',
        "refused",
        "`ReplayError`: where a process runs the denoiser alone, it waits for the others",
        (
            f"{RUNTIME}/test_said_and_refused.py::"
            "test_weights_that_processes_share_are_not_refreshed_for_one_of_them",
        ),
    ),
    Way(
        "`device_map`",
        "tested",
        "a denoiser that accelerate dispatches gives the same",
        (f"{LIVING}/test_quantised.py::test_a_denoiser_dispatched_by_accelerate_replays_the_same",),
    ),
    Way(
        "CPU offload: model, sequential, group",
        "tested",
        "before or after attaching, the same",
        (
            f"{LIVING}/test_offload.py::test_an_offloaded_pipeline_replays_the_same",
            f"{LIVING}/test_offload.py::test_offloading_while_attached_takes_effect_and_outlives_it",
        ),
    ),
    Way(
        "group offload with streams",
        "documented",
        "diffusers wants a GPU for it; its tests run where there is one, which was nowhere yet",
        (f"{LIVING}/test_offload.py::test_an_offloaded_pipeline_replays_the_same",),
    ),
    Way(
        "`torch.inference_mode()`",
        "tested",
        "no bit changes, and runs outside of it go on",
        (
            f"{LIVING}/test_torch_modes.py::"
            "test_inference_mode_changes_no_bit_and_leaves_nothing_for_runs_outside_it",
        ),
    ),
    Way(
        "a training step through the denoiser while attached",
        "tested",
        "it passes, with gradients, and is no part of a run",
        (
            f"{LIVING}/test_reports.py::"
            "test_a_training_step_through_the_denoiser_passes_while_a_plan_is_attached",
        ),
    ),
    Way(
        "gradients through a whole run",
        "tested",
        "those of the run that the plan makes, where the pipeline's call is without `no_grad`",
        (
            f"{LIVING}/test_torch_modes.py::test_gradients_flow_through_a_run_that_follows_a_plan",
            "tests/runtime/test_replay.py::test_integrate_is_differentiable",
        ),
    ),
    Way(
        "`transformer.enable_cache` after attaching",
        "refused",
        "`StackedCacheError`, before the denoiser runs; in mid-run at the next knot; one that "
        "changes no velocity may stay",
        (
            f"{LIVING}/test_caches.py::"
            "test_one_that_is_enabled_after_attaching_is_refused_before_the_denoiser_runs",
            f"{RUNTIME}/test_said_and_refused.py::test_a_cache_that_is_added_in_mid_run_is_refused",
            f"{LIVING}/test_caches.py::test_keys_of_the_text_may_be_kept_which_changes_nothing",
        ),
    ),
    Way(
        "prompts of different lengths in a batch, several pictures a prompt",
        "tested",
        "each picture is that of its own run",
        (f"{LIVING}/test_batches.py::test_every_picture_of_a_batch_is_the_one_of_its_own_run",),
    ),
    Way(
        "`sigmas=` in the call",
        "tested",
        "levels that are the schedule's are followed, others are a `GridMismatchError`",
        (
            f"{LIVING}/test_reports.py::"
            "test_steps_left_to_the_pipeline_are_refused_and_its_own_levels_may_be_given",
            f"{RUNTIME}/test_attach_refuses.py::test_a_grid_too_far_off",
        ),
    ),
    Way(
        "two requests at once through one pipeline",
        "refused",
        "`ReplayError` in the second: give each thread a pipeline",
        (f"{RUNTIME}/test_attach_refuses.py::test_one_pipeline_serves_one_call_at_a_time",),
    ),
    Way(
        "two requests in turn through one `MeanCacheScheduler`",
        "refused",
        "`StepCountError`, and the next run is whole",
        (
            f"{LIVING}/test_sharing.py::"
            "test_requests_that_take_turns_with_one_scheduler_are_refused_and_the_next_is_whole",
        ),
    ),
    Way(
        "a pipeline for each thread, with models in common",
        "tested",
        "each follows its own plan",
        (f"{LIVING}/test_sharing.py::test_threads_with_a_pipeline_each_may_share_the_transformer",),
    ),
    Way(
        "a warm-up call with one step",
        "refused",
        "`StepCountError`, and nothing is left of it: warm up before attaching, or with all steps",
        (STEPS,),
    ),
    Way(
        "a warm run before attaching",
        "tested",
        "the run after it is as if it were the first",
        (f"{LIVING}/test_caches.py::test_after_it_is_turned_off_all_is_as_before",),
    ),
    Way(
        "IP-Adapter",
        "tested",
        "the plan is followed; another picture adapter or scale than calibrated is a warning, or "
        "refused if strict",
        (
            f"{RUNTIME}/test_picture_adapters.py::"
            "test_with_an_ip_adapter_a_plan_is_followed_as_by_hand",
            f"{RUNTIME}/test_picture_adapters.py::test_an_ip_adapter_is_known_by_weights_and_scale",
        ),
    ),
    Way(
        "PAG and skip-layer guidance as arguments",
        "tested",
        "in `StableDiffusion3PAGPipeline` and `StableDiffusion3Pipeline`, above",
        (FAMILIES,),
    ),
    Way(
        "guiders",
        "tested",
        "every one of diffusers but `FrequencyDecoupledGuidance`, which wants kornia; one with a "
        "memory takes the last refresh's outputs again at cached steps",
        (
            f"{LIVING}/test_guiders.py::"
            "test_a_plan_is_followed_as_by_hand_and_no_bit_changes_with_a_knot_at_every_step",
            f"{LIVING}/test_guiders.py::test_every_guider_of_diffusers_is_tried_somewhere",
            f"{LIVING}/test_modular.py::test_every_guider_s_branches_run_once_a_refresh",
        ),
    ),
    Way(
        "`from_pipe`",
        "tested",
        "the pipeline that is made is a plain one, and the first stays attached",
        (
            f"{LIVING}/test_sharing.py::"
            "test_a_pipeline_made_from_an_attached_one_is_a_plain_pipeline",
        ),
    ),
    Way(
        "pickling an attached pipeline for a worker process",
        "refused",
        "`AttachError`: pickle it detached, and attach there",
        (f"{RUNTIME}/test_attach_refuses.py::test_copying_and_pickling_while_attached",),
    ),
    Way(
        "pickling a pipeline and its plan for a worker process",
        "tested",
        "detached with the schedule beside it, or with `MeanCacheScheduler`, it follows the plan "
        "there",
        (
            f"{LIVING}/test_sharing.py::"
            "test_a_pipeline_sent_to_another_process_follows_its_plan_there",
        ),
    ),
    Way(
        "`torch.compile` in its forms",
        "tested",
        "nothing is compiled again",
        (
            f"{LIVING}/test_compile.py::"
            "test_a_compiled_denoiser_replays_the_same_and_compiles_in_its_first_run_alone",
        ),
    ),
    Way(
        "quantised, and in half precision",
        "tested",
        "velocities are kept in float32, and rounded once",
        (
            f"{LIVING}/test_quantised.py::"
            "test_a_quantised_denoiser_replays_as_by_hand_and_is_not_touched",
            f"{LIVING}/test_precision.py::"
            "test_every_velocity_is_the_exact_combination_rounded_once",
        ),
    ),
    Way(
        "LoRAs: loaded, fused, swapped, unloaded",
        "tested",
        "the weights of the moment count",
        (
            f"{LIVING}/test_lora.py::test_with_an_adapter_replay_equals_the_plan_followed_by_hand",
            f"{LIVING}/test_lora.py::"
            "test_an_adapter_swapped_while_attached_counts_from_the_next_run",
        ),
    ),
    Way(
        "callbacks that edit latents or interrupt",
        "tested",
        "the plan goes on from what they give back; the run after an interrupted one is whole",
        (
            f"{LIVING}/test_callbacks.py::"
            "test_replay_goes_on_from_the_latents_that_a_callback_gives_back",
            f"{LIVING}/test_callbacks.py::test_after_an_interrupted_run_the_next_is_whole",
        ),
    ),
)
