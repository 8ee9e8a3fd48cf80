"""The categorical distribution against NumPy and its own sampling frequencies."""

import numpy as np
import pytest
import torch

from rl_platform.core.distributions import Categorical, distribution_of
from rl_platform.core.spec import ActionSpec

ACTIONS = 6
FP32 = {"rtol": 1e-5, "atol": 1e-6}
CHI2_5_DF_P_001 = 20.515


def logits(seed, scale=1.0):
    return scale * torch.randn(4, 3, ACTIONS, generator=torch.Generator().manual_seed(seed))


def probabilities(params):
    """Softmax in float64, without the usual shift by the maximum."""
    weights = np.exp(params.double().numpy())
    return weights / weights.sum(-1, keepdims=True)


@pytest.fixture
def categorical():
    return Categorical(ACTIONS)


def test_log_prob_entropy_and_kl_equal_numpy(categorical):
    params, other = logits(0, scale=2.0), logits(1, scale=2.0)
    action = torch.randint(0, ACTIONS, (4, 3), generator=torch.Generator().manual_seed(2))
    p, q = probabilities(params), probabilities(other)
    chosen = np.take_along_axis(p, action.numpy()[..., None], -1)[..., 0]
    expected = np.log(chosen), -(p * np.log(p)).sum(-1), (p * np.log(p / q)).sum(-1)
    found = categorical.log_prob(params, action), categorical.entropy(params), categorical.kl(params, other)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.shape == (4, 3)
        torch.testing.assert_close(ours, torch.from_numpy(theirs).float(), **FP32)


def test_entropy_limits(categorical):
    assert categorical.entropy(torch.zeros(ACTIONS)).item() == pytest.approx(np.log(ACTIONS))
    certain = torch.zeros(ACTIONS)
    certain[2] = 1e4
    assert categorical.entropy(certain).item() == 0
    assert categorical.log_prob(certain, torch.tensor(2)).item() == 0


def test_kl_is_never_negative_and_zero_for_equals(categorical):
    params, other = logits(3, scale=3.0), logits(4, scale=3.0)
    assert (categorical.kl(params, other) > 0).all()
    torch.testing.assert_close(categorical.kl(params, params), torch.zeros(4, 3), rtol=0, atol=0)
    nearly = params + 1e-4 * other
    assert (categorical.kl(params, nearly) >= -1e-6).all()


def test_kl_is_not_symmetric(categorical):
    params, other = logits(3, scale=3.0), logits(4, scale=3.0)
    assert not torch.allclose(categorical.kl(params, other), categorical.kl(other, params), rtol=1e-2)


def test_a_constant_added_to_the_parameters_changes_nothing(categorical):
    params, other = logits(5), logits(6)
    action = categorical.mode(other)
    shifted = params + 100.0
    shift_tolerance = {"rtol": 0, "atol": 1e-4}  # float32 numbers near 100 are 8e-6 apart
    torch.testing.assert_close(
        categorical.log_prob(shifted, action), categorical.log_prob(params, action), **shift_tolerance
    )
    torch.testing.assert_close(categorical.entropy(shifted), categorical.entropy(params), **shift_tolerance)
    torch.testing.assert_close(categorical.kl(shifted, other), categorical.kl(params, other), **shift_tolerance)


def test_mode_is_the_most_probable_action(categorical):
    params = torch.tensor([[0.0, 3.0, 1.0, 0.0, 0.0, 0.0], [-1.0, -2.0, -3.0, -4.0, -5.0, -0.5]])
    assert categorical.mode(params).tolist() == [1, 5]


@pytest.mark.parametrize("seed", range(4))
def test_sampling_frequencies(categorical, seed):
    """Pearson's χ² of 60,000 draws, 5 degrees of freedom, at p = 0.001."""
    draws = 60_000
    params = logits(7)[seed, 0]
    action = categorical.sample(params.expand(draws, ACTIONS), torch.Generator().manual_seed(seed))
    assert action.shape == (draws,)
    assert action.dtype == torch.int64
    expected = draws * probabilities(params)
    chi2 = ((np.bincount(action.numpy(), minlength=ACTIONS) - expected) ** 2 / expected).sum()
    assert chi2 < CHI2_5_DF_P_001


def test_samples_of_a_batch_are_independent(categorical):
    """Two places with the same parameters agree as often as independent draws do: Σ p²."""
    params = logits(8)[0, 0]
    pairs = categorical.sample(params.expand(40_000, 2, ACTIONS), torch.Generator().manual_seed(0))
    agreement = (pairs[:, 0] == pairs[:, 1]).double().mean().item()
    expected = (probabilities(params) ** 2).sum()
    assert agreement == pytest.approx(expected, abs=4 * np.sqrt(expected * (1 - expected) / 40_000))


def test_sampling_follows_the_generator(categorical):
    params = logits(9).expand(50, 4, 3, ACTIONS)
    first, again, other = (categorical.sample(params, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_impossible_actions_are_not_drawn(categorical):
    params = torch.tensor([0.0, -1e4, 0.0, -1e4, -1e4, -1e4]).expand(20_000, ACTIONS)
    assert set(categorical.sample(params, torch.Generator().manual_seed(0)).tolist()) == {0, 2}


def test_an_action_space_gets_its_distribution():
    assert distribution_of(ActionSpec("categorical", 4)).num_params == 4
