"""Fréchet distances of samples: of whom, to what, by which features, and when they are refused."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from torch import Tensor

from meancache_plan.core.frechet import frechet_distance, gaussian
from meancache_plan.errors import InputError
from meancache_plan.judge.evaluate import evaluate
from meancache_plan.judge.findings import Evaluation
from meancache_plan.judge.frechet import picture_features as of
from meancache_plan.judge.frechet.frechet_distances import Distance, Distances
from meancache_plan.judge.frechet.frechet_measurement import FrechetSettings, Measurement
from meancache_plan.show.terminal.evaluation_table import evaluation_table
from meancache_plan.source.diffusers.picture_encoding import encode
from meancache_plan.source.diffusers.pipeline import Pipeline
from tests.judge.evaluated import SCHEDULE, tiny_pipeline
from tests.judge.frechet.colours import Colours
from tests.judge.tiny_comparison import STEPS
from tests.tiny import SIDE, tiny_flux

PROMPTS, SEEDS = ("red fox", "tree", "blue"), (3,)
SAMPLES = 8


class Interrupted(Pipeline):
    """A pipeline whose calls for several samples are counted, and stop before a given one."""

    def __init__(self, stop: int | None = None) -> None:
        plain = tiny_pipeline(tiny_flux())
        super().__init__(plain.pipe, plain.recipe, "tiny")
        self.stop, self.calls = stop, 0

    def run(self, prompt: Any, seed: Any, **extra: Any) -> Any:
        if not isinstance(prompt, str):
            if self.calls == self.stop:
                raise KeyboardInterrupt
            self.calls += 1
        return super().run(prompt, seed, **extra)


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    return tiny_pipeline(tiny_flux())


def judged(
    pipeline: Pipeline, work: Path | None = None, budgets: tuple[int, ...] = (3, 6), **settings: Any
) -> Distances:
    wanted = FrechetSettings(SAMPLES, batch=3, features=Colours(), **settings)
    found = evaluate(
        pipeline, SCHEDULE, PROMPTS[:1], SEEDS, budgets=budgets, frechet=wanted, work=work
    )
    assert found.frechet is not None
    return found.frechet


def picture(folder: Path, number: int, side: int = SIDE) -> np.ndarray:
    """Write a picture of noise, and return it."""
    rng = np.random.default_rng(number)
    pixels = rng.integers(0, 256, (side, side, 3), np.uint8)
    Image.fromarray(pixels).save(folder / f"{number}.png")
    return pixels


def row(found: Distances, method: str, budget: int) -> Distance:
    return next(each for each in found.rows if (each.method, each.budget) == (method, budget))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("pictures")
    for number in range(7):
        picture(found, number)
    return found


@pytest.fixture(scope="module")
def found(pipeline: Pipeline, folder: Path) -> Distances:
    """To the folder's pictures, by everyone."""
    return judged(pipeline, to=folder, prompts=PROMPTS)


def test_distances_are_those_of_the_samples_pictures_to_the_folders(
    pipeline: Pipeline, folder: Path, found: Distances
) -> None:
    jobs = [(PROMPTS[k % 3], 3 + k // 3) for k in range(SAMPLES)]
    frames = np.concatenate([pipeline.generate(*job).frames for job in jobs])
    mine = Colours()((frames * 255).round().astype(np.uint8))
    noise = np.stack([np.asarray(Image.open(file)) for file in sorted(folder.iterdir())])
    expected = frechet_distance(gaussian(mine.numpy()), gaussian(Colours()(noise).numpy()))
    assert row(found, "full", STEPS - 2).distance == pytest.approx(expected, rel=1e-3)
    assert (found.name, found.dimensions, found.samples) == ("colours", 3, SAMPLES)
    assert (found.to, found.pictures) == ("given pictures", 7)


def test_everyone_has_a_distance_and_the_same_samples_change_nothing(found: Distances) -> None:
    methods = ("plan", "uniform-hold", "uniform-adams", "fewer-steps")
    expected = [("full", 6), *((method, b) for b in (3, 6) for method in methods)]
    assert [(each.method, each.budget) for each in found.rows] == expected
    for method in ("full", "plan"):
        same = row(found, method, 6)
        assert (same.change, same.interval) == (0.0, (0.0, 0.0))
    other, full = row(found, "plan", 3), found.rows[0]
    assert other.change == pytest.approx(other.distance - full.distance)
    assert other.interval[0] < other.change < other.interval[1]


def test_without_a_folder_they_are_to_as_many_full_samples_of_other_seeds(
    pipeline: Pipeline,
) -> None:
    found = judged(pipeline, budgets=(6,), methods=("plan",))
    one, other = (
        np.concatenate([pipeline.generate(PROMPTS[0], 3 + k).frames for k in part])
        for part in (range(SAMPLES), range(SAMPLES, 2 * SAMPLES))
    )
    clouds = [
        gaussian(Colours()((each * 255).round().astype(np.uint8)).numpy()) for each in (one, other)
    ]
    assert found.rows[0].distance == pytest.approx(frechet_distance(*clouds), rel=1e-2)
    assert (found.to, found.pictures) == ("further full samples, of other seeds", SAMPLES)


def test_only_the_methods_that_are_asked_for_make_samples(folder: Path) -> None:
    pipeline = Interrupted()
    found = judged(pipeline, to=folder, budgets=(3,), methods=("plan",))
    assert [each.method for each in found.rows] == ["full", "plan"]
    assert pipeline.calls == 2 * 3


def test_interrupted_it_goes_on_to_the_same_distances(tmp_path: Path, folder: Path) -> None:
    options: dict[str, Any] = {"to": folder, "budgets": (3,), "methods": ("plan",)}
    whole = Interrupted()
    expected = judged(whole, **options)
    with pytest.raises(KeyboardInterrupt):
        judged(Interrupted(stop=4), tmp_path / "work", **options)
    again = Interrupted()
    assert judged(again, tmp_path / "work", **options) == expected
    assert again.calls == whole.calls - 4


def test_the_table_says_what_the_distance_is_called_and_what_it_is_to(folder: Path) -> None:
    pipeline = tiny_pipeline(tiny_flux())
    settings = FrechetSettings(SAMPLES, folder, batch=4, methods=("plan",), features=Colours())
    found = evaluate(pipeline, SCHEDULE, PROMPTS[:1], SEEDS, budgets=(3,), frechet=settings)
    assert found.frechet is not None
    console = Console(width=80, highlight=False, force_terminal=False)
    with console.capture() as capture:
        console.print(evaluation_table(found))
    said = " ".join(capture.get().split())
    assert "colours (3 dimensions) of 8 samples of each method to 7 given pictures" in said
    assert f"{row(found.frechet, 'plan', 3).change:+.3g}" in said
    assert Evaluation.model_validate_json(found.to_json()).frechet == found.frechet


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (5, "frechet 5: too few samples for colours, whose features have 3 dimensions: give 6"),
        (0, "frechet 0: give 1 or more"),
    ],
)
def test_too_few_samples_are_refused_by_name(
    pipeline: Pipeline, samples: int, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        Measurement(pipeline, FrechetSettings(samples, features=Colours()))


def test_a_folder_that_cannot_be_compared_with_is_refused_by_name(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    def refused(folder: Path, message: str) -> None:
        with pytest.raises(InputError, match=message):
            Measurement(pipeline, FrechetSettings(SAMPLES, folder, features=Colours()))

    refused(tmp_path / "none", "none: holds no pictures: give a folder of PNG or JPEG files")
    for number in range(3):
        picture(tmp_path, number)
    refused(tmp_path, "holds 3: too few pictures for colours, .*: give 6 pictures or more")
    picture(tmp_path, 3, side=8)
    refused(tmp_path, r"3\.png: is 8 × 8 pixels, 0\.png 32 × 32: give pictures of the samples'")
    (tmp_path / "4.png").write_text("no picture")
    (tmp_path / "3.png").unlink()
    refused(tmp_path, r"4\.png: cannot be read as a picture .*: remove it")


def test_pictures_of_another_size_than_the_samples_are_refused(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    for number in range(6):
        picture(tmp_path, number, side=8)
    with pytest.raises(InputError, match="are 8 × 8 pixels, the samples 32 × 32: give pictures"):
        judged(pipeline, to=tmp_path)


def test_autoencoder_features_are_levels_and_variation_of_latents(pipeline: Pipeline) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (2, SIDE, SIDE, 3), np.uint8)
    latents = encode(pipeline.pipe, pictures).double().numpy()  # [2, 4, 8, 8]
    levels = latents.reshape(2, 4, 4, 2, 4, 2).mean(axis=(3, 5)).reshape(2, -1)
    variation = latents.reshape(2, 4, 2, 4, 2, 4).std(axis=(3, 5)).reshape(2, -1)
    found = of.Autoencoder(pipeline)(pictures)
    expected = np.concatenate([levels, variation], axis=1)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-3, atol=1e-4)
    assert of.dimensions(of.Autoencoder(pipeline)) == 20 * 4


def test_encoding_is_what_the_pipelines_autoencoder_says(pipeline: Pipeline) -> None:
    pictures = np.zeros((1, SIDE, SIDE, 3), np.uint8)
    black = -torch.ones(1, 3, SIDE, SIDE)
    expected = pipeline.pipe.vae.encode(black).latent_dist.mean
    torch.testing.assert_close(encode(pipeline.pipe, pictures), expected)


@pytest.mark.parametrize("shape", [(2, 4, 8, 8), (2, 4, 1, 8, 8)], ids=["pictures", "videos"])
def test_encoding_knows_autoencoders_of_every_kind(shape: tuple[int, ...]) -> None:
    latents = torch.randn(shape)

    class Vae(torch.nn.Module):
        dtype = torch.float32

        def __init__(self) -> None:
            super().__init__()
            self.layer = (torch.nn.Conv3d if len(shape) == 5 else torch.nn.Conv2d)(3, 4, 1)

        def encode(self, values: Tensor) -> Any:
            assert values.shape == ((2, 3, 16, 16) if len(shape) == 4 else (2, 3, 1, 16, 16))
            return SimpleNamespace(latents=latents)

    pipe = SimpleNamespace(vae=Vae(), _execution_device="cpu")
    found = encode(pipe, np.zeros((2, 16, 16, 3), np.uint8))
    torch.testing.assert_close(found, latents.reshape(2, 4, 8, 8))


def test_a_pipeline_without_an_autoencoder_is_refused() -> None:
    with pytest.raises(InputError, match="SimpleNamespace has no autoencoder for pictures"):
        encode(SimpleNamespace(vae=None), np.zeros((1, 8, 8, 3), np.uint8))


@pytest.mark.parametrize("there", [True, False])
def test_inception_is_used_where_its_weights_lie_and_only_then_it_is_called_fid(
    pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(of, "find_spec", lambda name: object())

    class Network(torch.nn.Module):
        def forward(self, pictures: Tensor) -> Tensor:
            assert pictures.dtype == torch.uint8
            return pictures.double().mean(dim=(2, 3))

    monkeypatch.setattr(of, "_network", lambda weights: Network())
    if there:
        (tmp_path / "checkpoints").mkdir()
        (tmp_path / "checkpoints" / of.WEIGHTS).touch()
    found = of.find_features(pipeline)
    assert (found.name == "FID") == there
    if there:
        pictures = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), np.uint8)
        torch.testing.assert_close(found(pictures), Colours()(pictures))
