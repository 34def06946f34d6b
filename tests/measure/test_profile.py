import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch
from pydantic import ValidationError

from meancache_plan import profile_flow
from meancache_plan.core.deviation import windows
from meancache_plan.errors import InputError, MergeError, ProfileError
from meancache_plan.measure.profile import (
    METADATA,
    Profile,
    ProfileSettings,
    load_profile,
    measure,
    save_profile,
)
from meancache_plan.measure.shards import merge_profiles
from meancache_plan.schedule.artifact import AdapterIdentity, ModelIdentity
from meancache_plan.source.catalog import schedule_files
from tests.fields import euler, mixture, mixture_profile, noise, shifted_grid

Tensors = dict[str, Any]
Header = dict[str, Any]


@pytest.fixture(scope="module")
def whole() -> Profile:
    plain = mixture_profile(6, samples=4)
    details = {
        "model": ModelIdentity(
            id="a/model",
            revision=None,
            fingerprint="sha256:00",
            pipeline="FluxPipeline",
            scheduler="FlowMatchEulerDiscreteScheduler",
            adapters=(AdapterIdentity(name="lora", digest=None),),
        ),
        "scheduler_config": {"shift": 3.0, "use_dynamic_shifting": False, "note": None},
        "guidance": {"guidance_scale": 3.5},
        "call": {"max_sequence_length": 512},
        "height": 64,
        "width": 64,
        "prompts_sha256": "ab",
        "seeds_sha256": "cd",
    }
    return replace(plain, settings=plain.settings.model_copy(update=details))


def part(profile: Profile, rows: slice) -> Profile:
    names = [name for name in profile.tensors() if not name.startswith("propagation")]
    return replace(profile, **{name: profile.tensors()[name][rows] for name in names})


def altered(profile: Profile, **settings: object) -> Profile:
    return replace(profile, settings=profile.settings.model_copy(update=settings))


def same(a: Profile, b: Profile) -> bool:
    return a.settings == b.settings and all(
        x.tobytes() == y.tobytes() and x.dtype == y.dtype
        for x, y in zip(a.tensors().values(), b.tensors().values(), strict=True)
    )


def test_a_profile_comes_back_bit_for_bit(whole: Profile, tmp_path: Path) -> None:
    save_profile(whole, tmp_path / "a")
    assert same(load_profile(tmp_path / "a"), whole)


def test_equal_profiles_give_equal_bytes_and_nothing_else_is_left(
    whole: Profile, tmp_path: Path
) -> None:
    save_profile(whole, tmp_path / "a")
    save_profile(load_profile(tmp_path / "a"), tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


def test_a_path_that_cannot_be_written_is_an_input_error(whole: Profile, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written"):
        save_profile(whole, tmp_path / "missing" / "a")


def test_a_profile_knows_its_grid_and_its_samples(whole: Profile) -> None:
    assert (whole.steps, whole.samples, whole.numel) == (6, 4, 16)
    assert whole.sigmas == whole.settings.sigmas
    assert whole.index == windows(6, 6, 6)
    assert replace(whole, seconds=np.array([4.0, 1.0, 2.0, 9.0])).seconds_per_step == 3.0
    assert whole.missing == ()
    assert part(whole, slice(1, 3)).missing == (0, 3)


def test_the_latent_range_is_four_standard_deviations_of_all_final_latents_together() -> None:
    sigmas = shifted_grid(6)
    ends = torch.stack([euler(mixture(), z, sigmas)[0][-1] for z in noise(3)])
    expected = 4 * float(ends.std(correction=0))
    assert mixture_profile(6, samples=3).latent_range == pytest.approx(expected)
    assert profile_flow(mixture(), noise(3), sigmas).latent_range == pytest.approx(expected)


def test_the_fingerprint_tells_profiles_apart_but_not_by_timings_or_versions(
    whole: Profile,
) -> None:
    same_measurements = altered(replace(whole, seconds=whole.seconds * 2), versions={"torch": "x"})
    others = [
        altered(whole, guidance={"guidance_scale": 4.0}),
        replace(whole, l1=whole.l1 * 2),
        replace(whole, grams=whole.grams * 2),
        replace(whole, moments=whole.moments * [1, 2]),
        replace(whole, seeds=whole.seeds + 1),
        part(whole, slice(0, 3)),
    ]
    assert same_measurements.fingerprint == whole.fingerprint
    assert whole.fingerprint.startswith("sha256:")
    assert len({whole.fingerprint, *(other.fingerprint for other in others)}) == 7


DEFECTS: list[tuple[str, Callable[[Tensors, Header], object]]] = [
    ("tensor 'grams' is missing", lambda t, h: t.pop("grams")),
    ("unknown tensor 'extra'", lambda t, h: t.update(extra=np.zeros(1))),
    ("seeds: has dtype I32, must be int64", lambda t, h: t.update(seeds=t["seeds"].astype("i4"))),
    ("l1: has dtype F64, must be float32", lambda t, h: t.update(l1=t["l1"].astype("f8"))),
    (r"grams: has shape \[4, 5, 5\]", lambda t, h: t.update(grams=t["grams"][:, :5, :5].copy())),
    (r"l1: has shape \[4, 3\]", lambda t, h: t.update(l1=t["l1"][:, :3].copy())),
    (r"seconds: has shape \[3\], must be \[4\]", lambda t, h: t.update(seconds=np.zeros(3))),
    (r"sample_index: has shape \[\]", lambda t, h: t.update(sample_index=np.array(0))),
    ("there are no samples", lambda t, h: t.update({k: v[:0].copy() for k, v in t.items()})),
    ("grams: must be finite", lambda t, h: t["grams"].__setitem__((0, 1, 1), np.nan)),
    ("l1: must be finite", lambda t, h: t["l1"].__setitem__((3, 0), np.inf)),
    ("grams: must be symmetric", lambda t, h: t["grams"].__setitem__((0, 1, 2), 7.0)),
    ("l1: must not be negative", lambda t, h: t["l1"].__setitem__((0, 0), -1.0)),
    ("seconds: must not be negative", lambda t, h: t["seconds"].__setitem__(0, -1.0)),
    ("sample_index: must be strictly ascending", lambda t, h: t["sample_index"].fill(1)),
    ("sample_index: out of range: 0 to 3", lambda t, h: t["sample_index"].__iadd__(1)),
    (r"moments: has shape \[4, 1\]", lambda t, h: t.update(moments=np.ones((4, 1)))),
    ("moments: .* less than the mean", lambda t, h: t["moments"].__setitem__((2, 0), 99.0)),
    ("tensor 'propagation' is missing", lambda t, h: t.pop("propagation")),
    ("propagation: has shape", lambda t, h: t.update(propagation=np.ones((1, 1)))),
    (
        "settings.propagation: must be true or false",
        lambda t, h: h["settings"].update(propagation=1),
    ),
    ("version: .*unknown", lambda t, h: h.update(version=2)),
    ('"settings" is missing', lambda t, h: h.pop("settings")),
    ('unknown key "extra"', lambda t, h: h.update(extra=1)),
    ('settings: unknown key "extra"', lambda t, h: h["settings"].update(extra=1)),
    ('settings: "dtype" is missing', lambda t, h: h["settings"].pop("dtype")),
    ("settings.max_edge: must be an integer", lambda t, h: h["settings"].update(max_edge="6")),
    ("max_edge: 7 exceeds the 6 steps", lambda t, h: h["settings"].update(max_edge=7)),
    ("settings.sigmas: .*monotone", lambda t, h: h["settings"]["sigmas"].__setitem__(1, 1.0)),
    ("settings.model: must be an object", lambda t, h: h["settings"].update(model="a/model")),
    (
        r"settings.model.adapters\[0\]: must be an object",
        lambda t, h: h["settings"]["model"].update(adapters=["lora"]),
    ),
]


@pytest.mark.parametrize(("reason", "spoil"), DEFECTS, ids=[reason for reason, _ in DEFECTS])
def test_a_defect_is_refused_by_name_with_the_path(
    whole: Profile, tmp_path: Path, reason: str, spoil: Callable[[Tensors, Header], object]
) -> None:
    tensors = {name: value.copy() for name, value in whole.tensors().items()}
    header = {"version": 1, "settings": whole.settings.model_dump(mode="json")}
    spoil(tensors, header)
    path = tmp_path / "bad.safetensors"
    path.write_bytes(safetensors.numpy.save(tensors, {METADATA: json.dumps(header)}))
    with pytest.raises(ProfileError, match=reason) as caught:
        load_profile(path)
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ({}, f"metadata entry '{METADATA}' is missing"),
        ({METADATA: "{}", "extra": "1"}, "unknown metadata entry 'extra'"),
        ({METADATA: "not JSON"}, "not JSON"),
        ({METADATA: '{"version": NaN}'}, "NaN is not a finite number"),
        ({METADATA: '{"version": 1, "version": 1}'}, "duplicate key"),
        ({METADATA: "[]"}, "metadata: must be an object"),
    ],
)
def test_wrong_metadata_is_refused_by_name(
    whole: Profile, tmp_path: Path, metadata: dict[str, str], reason: str
) -> None:
    (tmp_path / "bad").write_bytes(safetensors.numpy.save(whole.tensors(), metadata))
    with pytest.raises(ProfileError, match=reason):
        load_profile(tmp_path / "bad")


@pytest.mark.parametrize("length", [0, 4, 8, 200, -1])
def test_a_truncated_file_is_refused(whole: Profile, tmp_path: Path, length: int) -> None:
    save_profile(whole, tmp_path / "a")
    (tmp_path / "a").write_bytes((tmp_path / "a").read_bytes()[:length])
    with pytest.raises(ProfileError, match="not a readable safetensors file"):
        load_profile(tmp_path / "a")


def test_a_dtype_that_numpy_lacks_is_refused_by_name(whole: Profile, tmp_path: Path) -> None:
    tensors = {name: torch.from_numpy(value) for name, value in whole.tensors().items()}
    tensors["l1"] = tensors["l1"].bfloat16()
    safetensors.torch.save_file(tensors, tmp_path / "a", {METADATA: "{}"})
    with pytest.raises(ProfileError, match="l1: has dtype BF16, must be float32"):
        load_profile(tmp_path / "a")


def test_what_is_no_safetensors_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("not a profile, but a long enough text to have a header's length")
    with pytest.raises(ProfileError, match="not a readable safetensors file"):
        load_profile(tmp_path / "a")


def test_a_schedule_in_a_profiles_place_is_told_from_a_broken_profile(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(schedule_files()["reference/50-steps"].read_bytes())
    with pytest.raises(ProfileError, match=r"looks like a schedule: give the profile"):
        load_profile(tmp_path / "a.json")


def test_an_absent_file_and_a_directory_are_refused_and_say_how_to_make_a_profile(
    tmp_path: Path,
) -> None:
    for path in (tmp_path / "absent", tmp_path, tmp_path / ("n" * 300)):
        with pytest.raises(ProfileError, match="no such file; make one with `meancache-plan cal"):
            load_profile(path)


def test_settings_refuse_implicit_conversions() -> None:
    with pytest.raises(ValidationError, match="max_edge"):
        ProfileSettings.model_validate(
            {**mixture_profile(4, 1).settings.model_dump(), "max_edge": 4.0}
        )


def test_shards_in_any_order_merge_into_the_whole(whole: Profile) -> None:
    merged = merge_profiles([part(whole, slice(start, None, 3)) for start in (2, 0, 1)])
    assert same(merged, whole)
    assert merged.fingerprint == whole.fingerprint


def test_samples_that_are_in_no_shard_are_told_but_not_refused(whole: Profile) -> None:
    assert merge_profiles([part(whole, slice(3, 4)), part(whole, slice(0, 2))]).missing == (2,)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"dtype": "bfloat16"}, "dtype: 'float64' in profile 1, but 'bfloat16' in profile 2"),
        ({"guidance": {}}, "guidance.guidance_scale: 3.5 in profile 1, but 'absent' in profile 2"),
        ({"height": 128}, "height: 64 in profile 1, but 128 in profile 2"),
        ({"seeds_sha256": "00"}, "seeds_sha256: 'cd' in profile 1, but '00' in profile 2"),
        ({"samples_total": 9}, "samples_total: 4 in profile 1, but 9 in profile 2"),
        ({"versions": {"torch": "0"}}, "versions.torch: .* but '0' in profile 2"),
        ({"scheduler_config": None}, r"scheduler_config.shift: 3.0 in profile 1, but 'absent'"),
    ],
)
def test_merge_names_the_setting_that_differs_and_both_values(
    whole: Profile, change: dict[str, object], reason: str
) -> None:
    with pytest.raises(MergeError, match=reason):
        merge_profiles([part(whole, slice(0, 2)), altered(part(whole, slice(2, 4)), **change)])


def test_merge_refuses_another_model_and_another_grid_by_name(whole: Profile) -> None:
    assert whole.settings.model is not None
    model = whole.settings.model.model_copy(update={"revision": "main"})
    with pytest.raises(MergeError, match=r"model.revision: None in profile 1, but 'main'"):
        merge_profiles([whole, altered(whole, model=model)])
    sigmas = (*whole.sigmas[:2], 0.7, *whole.sigmas[3:])
    with pytest.raises(MergeError, match=r"sigmas\[2\]: 0.85.* in profile 1, but 0.7 in"):
        merge_profiles([whole, altered(whole, sigmas=sigmas)])


def test_merge_refuses_a_sample_twice_and_nothing_at_all(whole: Profile) -> None:
    with pytest.raises(MergeError, match="samples 1, 2 are in more than one profile"):
        merge_profiles([part(whole, slice(0, 3)), part(whole, slice(1, 4))])
    with pytest.raises(MergeError, match="give at least one profile"):
        merge_profiles([])


def test_measure_refuses_velocities_that_do_not_fit_the_grid_or_are_not_finite() -> None:
    index, sigmas = windows(2, 2, 1), (1.0, 0.5, 0.0)
    with pytest.raises(InputError, match="3 velocities for 3 noise levels"):
        measure(torch.zeros(3, 4), sigmas, index)
    with pytest.raises(InputError, match="not finite"):
        measure(torch.tensor([[1.0], [torch.inf]]), sigmas, index)
