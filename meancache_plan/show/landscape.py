"""Where on the grid caching is cheap: a profile's deviations of plain reuse, summarised."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from meancache_plan.measure.profile import Profile

Surface = npt.NDArray[np.float64]


class PromptSpread(NamedTuple):
    """How much prompts differ in the deviation of reusing one velocity for two steps.

    Attributes:
        relative: Standard deviation over the prompts, in units of their mean.
        largest: The most deviating prompt, in units of the mean.
        prompt_index: Which prompt that is.
    """

    relative: float
    largest: float
    prompt_index: int


def hold_surfaces(profile: Profile) -> Surface:
    """Mean |u(t→s) − v_t| of each sample, [S, T, T + 1]; NaN where nothing was measured.

    Entry [·, t, s] is what it costs to run the denoiser at t and not again before s.
    """
    index = profile.index
    found = np.full((profile.samples, profile.steps, profile.steps + 1), np.nan)
    columns = [(i, t, s) for i, (t, s, window) in enumerate(index) if window == 0]
    column, start, end = np.array(columns).T
    found[:, start, end] = profile.l1[:, column]
    return found


def by_length(surface: Surface, length: int) -> Surface:
    """The deviations of all edges of this length, by their start t, [T]; NaN past the end.

    Args:
        surface: [T, T + 1], a mean or one sample of :func:`hold_surfaces`.
        length: s − t, in 1 … T.
    """
    diagonal = np.diagonal(surface, offset=length)
    return np.concatenate([diagonal, np.full(len(surface) - len(diagonal), np.nan)])


def spread(profile: Profile) -> PromptSpread | None:
    """Prompt-to-prompt differences; None if there are fewer than two prompts."""
    prompts = np.unique(profile.prompt_index)
    if len(prompts) < 2 or profile.index.max_edge < 2:
        return None
    each = np.array([np.nanmean(by_length(s, 2)) for s in hold_surfaces(profile)])
    means = np.array([each[profile.prompt_index == prompt].mean() for prompt in prompts])
    whole = float(means.mean())
    if whole == 0.0:
        return None
    worst = int(means.argmax())
    return PromptSpread(
        float(means.std()) / whole, float(means[worst]) / whole, int(prompts[worst])
    )
