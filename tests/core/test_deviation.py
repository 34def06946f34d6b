import numpy as np
import pytest
import torch
from torch import Tensor

from meancache_plan.core import deviation
from meancache_plan.core.deviation import gram, l1, rms, windows
from meancache_plan.core.parallel_edges import Edge, parallel_edges, residuals
from tests.fields import euler, gaussian_mixture, mixture, noise, shifted_grid

T = 12
SIGMAS = shifted_grid(T)
EVERY_EDGE = [(t, s) for t in range(T) for s in range(t + 1, T + 1)]


def trajectory() -> tuple[Tensor, Tensor]:
    return euler(mixture(), noise(1)[0], SIGMAS)


def direct_deviation(latents: Tensor, velocities: Tensor, edge: Edge) -> Tensor:
    """U − û as the papers write it, from latents."""

    def u(a: int, b: int) -> Tensor:
        return (latents[b] - latents[a]) / (SIGMAS[b] - SIGMAS[a])

    t, s, name, window = edge
    r, v, h = t - window, velocities, SIGMAS[s] - SIGMAS[t]
    if name == "hold" or window == 0:
        return u(t, s) - v[t]
    if name == "jvp":
        return u(t, s) - (v[t] + h * (u(r, t) - v[r]) / (SIGMAS[t] - SIGMAS[r]))
    mean = sum((SIGMAS[k + 1] - SIGMAS[k]) * SIGMAS[k] for k in range(t, s)) / h
    return u(t, s) - (v[t] + (mean - SIGMAS[t]) * (v[t] - v[r]) / (SIGMAS[t] - SIGMAS[r]))


def test_the_mixtures_flow_carries_noise_onto_the_mixture() -> None:
    means = torch.tensor([[3.0, 0.0], [-3.0, 1.0]]).double()
    samples = euler(gaussian_mixture(means, 0.2), noise(400, 2), shifted_grid(300))[0][-1]
    distances = torch.cdist(samples, means)
    near = distances.argmin(dim=1)
    assert 150 < int(near.sum()) < 250
    off = samples - means[near]
    assert off.mean(dim=0).abs().max() < 0.03
    assert off.std(dim=0) == pytest.approx(0.2, abs=0.02)


def test_the_index_is_every_triple_in_order() -> None:
    index = windows(T, 5, 3)
    every = [(t, s, k) for t in range(T) for s in range(T + 1) for k in range(4) if t < s <= t + 5]
    assert list(index) == sorted(triple for triple in every if triple[2] <= triple[0])
    assert len(index) == len(list(index))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_the_gram_matrix_holds_exact_inner_products(dtype: torch.dtype) -> None:
    velocities = torch.randn(7, 3, 5, 4, generator=torch.Generator().manual_seed(0)).to(dtype)
    rows = velocities.double().flatten(1).numpy()
    expected = [[sum(a * b) for b in rows] for a in rows]
    found = gram(velocities)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-13)
    assert (found == found.T).all()


@pytest.mark.parametrize("spread", [1.0, 1e-3, 1e-5])
def test_deviations_from_gram_matrices_equal_direct_ones_however_small(spread: float) -> None:
    latents, velocities = trajectory()
    velocities = velocities[0] + spread * (velocities - velocities[0])
    steps = torch.tensor(SIGMAS, dtype=torch.float64).diff()
    latents = torch.cat([latents[:1], latents[0] + (steps[:, None] * velocities).cumsum(0)])
    chosen = parallel_edges(EVERY_EDGE, ["hold", "jvp", "adams"], max_window=4)
    rows = residuals(SIGMAS, chosen)
    found = rms(gram(velocities)[None], velocities[0].numel(), rows)[0]
    direct = [float(direct_deviation(latents, velocities, c).square().mean()) for c in chosen]
    rounding = 1e-15 * (1 + np.abs(rows).sum(axis=1)) ** 2 * float(velocities.square().mean())
    assert (np.abs(found**2 - direct) <= 1e-9 * np.array(direct) + rounding).all()
    assert found.max() > 0.1 * spread


def test_rms_treats_every_sample_and_batch_of_residuals_alike() -> None:
    generator = np.random.default_rng(0)
    x, r = generator.standard_normal((3, T, 9)), generator.standard_normal((200, T))
    r[:70, 3:] = 0.0
    expected = np.sqrt(np.mean(np.einsum("nt,stm->snm", r, x) ** 2, axis=2))
    np.testing.assert_allclose(rms(x @ x.swapaxes(1, 2), 9, r), expected, rtol=1e-10)


@pytest.mark.parametrize(("max_edge", "max_window"), [(T, 6), (4, 2), (1, 0)])
def test_l1_deviations_equal_a_naive_loop(max_edge: int, max_window: int) -> None:
    latents, velocities = trajectory()
    index = windows(T, max_edge, max_window)
    naive = [
        direct_deviation(latents, velocities, Edge(t, s, "jvp", k)).abs().mean()
        for t, s, k in index
    ]
    found = l1(velocities, SIGMAS, index)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, naive, rtol=1e-6, atol=1e-13)


def test_l1_deviations_of_one_step_are_zero_for_hold() -> None:
    index = windows(T, T, 6)
    found = l1(trajectory()[1].float(), SIGMAS, index)
    assert {
        float(x) for x, (t, s, k) in zip(found, index, strict=True) if (s, k) == (t + 1, 0)
    } == {0.0}


def test_half_precision_velocities_are_summed_in_single_precision() -> None:
    velocities = trajectory()[1].to(torch.bfloat16)
    index = windows(T, T, 6)
    np.testing.assert_allclose(
        l1(velocities, SIGMAS, index), l1(velocities.double(), SIGMAS, index), rtol=1e-4, atol=1e-7
    )


def test_measuring_in_small_parts_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    velocities = torch.randn(T, 2, 100, generator=torch.Generator().manual_seed(0)).double()
    index = windows(T, T, 6)
    whole = gram(velocities), l1(velocities, SIGMAS, index)
    monkeypatch.setattr(deviation, "WORKSPACE", 4096)
    np.testing.assert_allclose(gram(velocities), whole[0], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(l1(velocities, SIGMAS, index), whole[1], rtol=1e-6)
