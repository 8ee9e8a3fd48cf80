"""The diagonal Gaussian against numerical integration, torch's own distributions and its samples."""

import math

import numpy as np
import pytest
import torch
from torch.distributions import Independent, Normal, kl_divergence

from rl_platform.core.distributions import LOG_STD_RANGE, DiagonalGaussian, distribution_of
from rl_platform.core.spec import ActionSpec

SIZE, DRAWS = 3, 200_000
FP64 = {"rtol": 1e-12, "atol": 1e-12}
GAUSSIAN = DiagonalGaussian(SIZE)
GRID = np.linspace(-12.0, 12.0, 24_001)  # the densities below vanish at its ends


def parameters(seed: int, size: int = SIZE) -> torch.Tensor:
    """[4, 3, 2A] float64, all within the range of log standard deviations."""
    noise = torch.randn(4, 3, 2 * size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (0.7 * noise).clamp(-2.0, 1.5)


def theirs(params: torch.Tensor) -> Independent:
    mean, log_std = params.chunk(2, dim=-1)
    return Independent(Normal(mean, log_std.exp()), 1)


def density(mean: float, log_std: float) -> np.ndarray:
    """On the grid, as textbooks write it."""
    std = math.exp(log_std)
    return np.exp(-((GRID - mean) ** 2) / (2 * std**2)) / math.sqrt(2 * math.pi * std**2)


def integral(values: np.ndarray) -> float:
    """Over the grid; at the ends of a bell the trapezoid rule is a plain sum, exact to rounding."""
    return float(values.sum() * (GRID[1] - GRID[0]))


def test_log_prob_entropy_and_kl_equal_torchs():
    params, other = parameters(0), parameters(1)
    action = torch.randn(4, 3, SIZE, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    pairs = [
        (GAUSSIAN.log_prob(params, action), theirs(params).log_prob(action)),
        (GAUSSIAN.entropy(params), theirs(params).entropy()),
        (GAUSSIAN.kl(params, other), kl_divergence(theirs(params), theirs(other))),
    ]
    for found, expected in pairs:
        assert found.shape == (4, 3)
        torch.testing.assert_close(found, expected, **FP64)


@pytest.mark.parametrize(("p", "q"), [((0.3, -0.5), (-0.4, 0.2)), ((0.0, 0.0), (2.0, 0.0)), ((-1.0, 0.3), (-1.0, -1))])
def test_log_prob_entropy_and_kl_equal_their_integrals(p: tuple[float, float], q: tuple[float, float]):
    one = DiagonalGaussian(1)
    params, other = (torch.tensor(pair, dtype=torch.float64) for pair in (p, q))
    log_p, log_q = (one.log_prob(each, torch.from_numpy(GRID)[:, None]).numpy() for each in (params, other))
    np.testing.assert_allclose(np.exp(log_p), density(*p), rtol=1e-9, atol=0)
    assert integral(np.exp(log_p)) == pytest.approx(1.0, abs=1e-9)
    assert one.entropy(params).item() == pytest.approx(-integral(np.exp(log_p) * log_p), abs=1e-9)
    assert one.kl(params, other).item() == pytest.approx(integral(np.exp(log_p) * (log_p - log_q)), abs=1e-9)


def test_literals():
    """Standard normal: ½ log 2πe = 1.4189385; N(0, 1) against N(1, e²): ½ (e⁻² − 1 + 2 + e⁻²)."""
    standard, other = torch.tensor([0.0, 0.0]), torch.tensor([1.0, 1.0])
    one = DiagonalGaussian(1)
    assert one.entropy(standard).item() == pytest.approx(1.4189385)
    assert one.log_prob(standard, torch.tensor([1.0])).item() == pytest.approx(-0.5 - 0.9189385)
    assert one.kl(standard, other).item() == pytest.approx(0.5 + math.exp(-2))
    assert one.mode(other).tolist() == [1.0]


def test_kl_is_positive_unless_they_are_equal_then_it_is_exactly_zero():
    params = parameters(3).float()
    assert (GAUSSIAN.kl(params, params) == 0).all()
    for size in (1.0, 1e-2, 1e-3):
        for place in range(2 * SIZE):
            other = params.clone()
            other[..., place] += size
            assert (GAUSSIAN.kl(params, other) > 0).all()
    other = parameters(4).float()
    assert not torch.allclose(GAUSSIAN.kl(params, other), GAUSSIAN.kl(other, params), rtol=1e-2)


def test_kl_keeps_its_digits_in_float32_where_the_two_are_nearly_equal():
    """Log standard deviations apart by δ = 1e-4: KL = δ² less terms of order δ³."""
    params = torch.zeros(2)
    assert DiagonalGaussian(1).kl(params, params + torch.tensor([0.0, 1e-4])).item() == pytest.approx(1e-8, rel=5e-3)


def test_samples_have_the_stated_moments_and_are_independent():
    params = torch.tensor([0.5, -2.0, 0.0, -1.0, 0.5, 0.0])
    mean, std = params[:SIZE].numpy(), params[SIZE:].exp().numpy()
    action = GAUSSIAN.sample(params.expand(DRAWS, 2 * SIZE), torch.Generator().manual_seed(0)).numpy()
    assert (action.shape, action.dtype) == ((DRAWS, SIZE), np.float32)
    np.testing.assert_array_less(np.abs(action.mean(0) - mean), 4 * std / DRAWS**0.5)
    np.testing.assert_array_less(np.abs(action.std(0) / std - 1), 4 / (2 * DRAWS) ** 0.5)
    correlation = np.corrcoef(np.concatenate([action[1:], action[:-1]], axis=1), rowvar=False) - np.eye(2 * SIZE)
    assert np.abs(correlation).max() < 4.5 / DRAWS**0.5  # 15 pairs
    log_prob = GAUSSIAN.log_prob(params, torch.from_numpy(action)).numpy()
    assert -log_prob.mean() == pytest.approx(GAUSSIAN.entropy(params).item(), abs=4 * log_prob.std() / DRAWS**0.5)


def test_log_ratios_of_samples_average_to_the_kl():
    """Monte Carlo: E_p[log p − log q] within four standard errors."""
    params, other = (parameters(seed)[0, 0].float() for seed in (5, 6))
    action = GAUSSIAN.sample(params.expand(DRAWS, 2 * SIZE), torch.Generator().manual_seed(1))
    log_ratio = (GAUSSIAN.log_prob(params, action) - GAUSSIAN.log_prob(other, action)).numpy()
    expected = GAUSSIAN.kl(params, other).item()
    assert log_ratio.mean() == pytest.approx(expected, abs=4 * log_ratio.std() / DRAWS**0.5)


def test_sampling_follows_the_generator():
    params = parameters(7).float()
    first, again, other = (GAUSSIAN.sample(params, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_gradients():
    """∂ log p/∂μ = (a − μ)/σ², ∂ log p/∂ log σ = ((a − μ)/σ)² − 1; of the entropy 0 and 1; the KL's numerically."""
    params, action = parameters(8).requires_grad_(), parameters(9)[..., :SIZE]
    mean, std = params[..., :SIZE].detach(), params[..., SIZE:].detach().exp()
    (found,) = torch.autograd.grad(GAUSSIAN.log_prob(params, action).sum(), params)
    torch.testing.assert_close(found[..., :SIZE], (action - mean) / std**2, **FP64)
    torch.testing.assert_close(found[..., SIZE:], ((action - mean) / std) ** 2 - 1, **FP64)
    (found,) = torch.autograd.grad(GAUSSIAN.entropy(params).sum(), params)
    assert (found[..., :SIZE] == 0).all() and (found[..., SIZE:] == 1).all()
    torch.autograd.gradcheck(GAUSSIAN.kl, (params, parameters(10).requires_grad_()))


@pytest.mark.parametrize(("log_std", "bound"), [(-30.0, LOG_STD_RANGE[0]), (30.0, LOG_STD_RANGE[1])])
def test_standard_deviations_are_clamped_everywhere(log_std: float, bound: float):
    outside, inside = (torch.tensor([0.3, value]) for value in (log_std, bound))
    one, action, other = DiagonalGaussian(1), torch.tensor([0.4]), torch.tensor([0.1, 0.2])
    for method, arguments in [(one.log_prob, (action,)), (one.entropy, ()), (one.kl, (other,))]:
        assert torch.equal(method(outside, *arguments), method(inside, *arguments))
    assert torch.equal(one.kl(other, outside), one.kl(other, inside))
    drawn = [one.sample(params, torch.Generator().manual_seed(0)) for params in (outside, inside)]
    assert torch.equal(*drawn)


def test_an_action_space_gets_its_distribution():
    action = ActionSpec("gaussian", 4, low=(-1.0,) * 4, high=(1.0,) * 4)
    distribution = distribution_of(action)
    assert (type(distribution), distribution.num_params) == (DiagonalGaussian, 8)
    assert (action.shape, action.dtype) == ((4,), "float32")
    choices = ActionSpec("categorical", 4)
    assert (choices.shape, choices.dtype) == ((), "int64")
