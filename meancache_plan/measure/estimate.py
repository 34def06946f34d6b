"""What a calibration would run, known before anything is loaded: refreshes, memory, time."""

from dataclasses import dataclass
from math import prod

from meancache_plan.core.deviation import windows
from meancache_plan.core.grid import check_finer_steps
from meancache_plan.core.propagation import choose
from meancache_plan.errors import InputError
from meancache_plan.measure.profile_settings import MAX_WINDOW, MEASURING, Measuring
from meancache_plan.measure.shards import Shard
from meancache_plan.source.recipe import Recipe, parse_numbers, read_prompts

LATENT_BYTES = 4
"""Of one number of a trajectory, at most: many pipelines keep latents in float32."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What one shard of a calibration runs, or the whole.

    Attributes:
        recipe: How the samples are made.
        prompts: Prompts of the whole calibration.
        seeds: Seeds of the whole calibration, each used with every prompt.
        shard: Which part this is.
        samples: Samples of this part.
        batch: How many of them are made at a time.
        finer_steps: Steps of a full run.
        full: Denoiser refreshes of their full runs.
        propagation: Denoiser refreshes that measure how errors propagate; Euler steps taken.
        branches: Denoiser calls per refresh.
        trajectory_bytes: Memory of the runs recorded at a time, at most; None: the shape of the
            latents is unknown.
        profile_bytes: Size of the profile, except for some kilobytes of settings.
    """

    recipe: Recipe
    prompts: int
    seeds: int
    shard: Shard
    samples: int
    batch: int
    finer_steps: int
    full: int
    propagation: int
    branches: int
    trajectory_bytes: int | None
    profile_bytes: int

    @property
    def refreshes(self) -> int:
        """Denoiser refreshes in all."""
        return self.full + self.propagation

    @property
    def calls(self) -> int:
        """Denoiser calls in all."""
        return self.refreshes * self.branches

    def hours(self, seconds: float) -> float:
        """Hours of one device, if a refresh takes so many seconds.

        Raises:
            InputError: ``seconds`` is not a positive number.
        """
        if not 0 < seconds < 1e6:
            raise InputError(f"--seconds-per-step {seconds:g}: give seconds, such as 0.25")
        return self.refreshes * seconds / 3600


def estimate(recipe: Recipe, how: Measuring = MEASURING, *, shard: Shard | None = None) -> Estimate:
    """Count what :func:`meancache_plan.measure.calibrate.calibrate` runs with a recipe.

    Estimated for a sampler that takes Euler steps; with another, or with a finer run, the
    displacements are measured beside the velocities.

    Args:
        recipe: How the samples are made.
        how: How they are measured.
        shard: Which part of the samples; all by default.

    Raises:
        InputError: The prompts or seeds cannot be read, the shard holds no sample, or the finer
            run has no more than T steps.
    """
    part, steps = shard or Shard(), recipe.steps
    check_finer_steps(how.finer_steps, steps)
    full_steps = how.finer_steps or steps
    runs = 1 if how.finer_steps is None else 2
    prompts, seeds = len(read_prompts(recipe.prompts)), len(parse_numbers(recipe.seeds, "seeds"))
    numbers = range(prompts * seeds)[part.number - 1 :: part.count]
    if not numbers:
        raise InputError(
            f"this shard holds none of the {prompts * seeds} samples: divide into fewer shards"
        )
    positions, chosen = choose(steps, prompts * seeds, runs) if how.propagation else ((), ())
    measured = sum(number in numbers for number in chosen)
    edges = len(windows(steps, min(how.max_edge or steps, steps), MAX_WINDOW))
    batch = min(how.batch, len(numbers))
    return Estimate(
        recipe=recipe,
        prompts=prompts,
        seeds=seeds,
        shard=part,
        samples=len(numbers),
        batch=batch,
        finer_steps=full_steps,
        full=len(numbers) * full_steps,
        propagation=measured * runs * sum(steps - position for position in positions),
        branches=_branches(recipe),
        trajectory_bytes=_trajectory_bytes(recipe, full_steps, batch),
        profile_bytes=_profile_bytes(runs * steps, edges, len(numbers), measured, len(positions)),
    )


def _branches(recipe: Recipe) -> int:
    """Guidance of 1 or less is none: diffusers then calls the denoiser once."""
    return 1 if recipe.guidance is not None and recipe.guidance <= 1 else recipe.branches


def _trajectory_bytes(recipe: Recipe, steps: int, samples: int) -> int | None:
    if recipe.latent_shape is None:
        return None
    return samples * (2 * steps + 1) * prod(recipe.latent_shape) * LATENT_BYTES


def _profile_bytes(columns: int, edges: int, samples: int, measured: int, positions: int) -> int:
    """The tensors of :class:`meancache_plan.measure.profile.Profile`."""
    gram, l1, numbers = 8 * columns**2, 4 * edges, 8 * 6
    return samples * (gram + l1 + numbers) + 8 * (positions + measured * (positions + 1))
