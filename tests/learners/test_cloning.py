"""CLEAR's cloning terms: literal numbers, a slow reference, gradients, and nothing at all for online columns."""

import math

import numpy as np
import pytest
import torch

from learners.losses.cloning import policy_cloning_loss, value_cloning_loss
from rl_platform.core.distributions import Categorical

EXACT = {"rtol": 0, "atol": 1e-12}
VALID = torch.tensor([[True, True, True], [False, True, True]])
REPLAYED = torch.tensor([True, False, True])


def grid(*rows):
    return torch.tensor(rows, dtype=torch.float64)


@pytest.mark.parametrize("ignored", [7.0, math.nan, math.inf])
def test_policy_cloning_literal(ignored):
    """Of six steps the first column's second is invalid, and the second column is online."""
    kl = grid([0.5, ignored, 0.25], [ignored, ignored, 1.5]).requires_grad_()
    term = policy_cloning_loss(kl=kl, valid=VALID, replayed=REPLAYED)
    term.sum.backward()
    assert term.sum.item() == 2.25
    assert term.count.item() == 3
    assert term.metrics["kl_replayed"].item() == 0.75
    assert kl.grad.tolist() == [[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]]


@pytest.mark.parametrize("ignored", [7.0, math.nan, math.inf])
def test_value_cloning_literal(ignored):
    """Drifts 2, 1 and −3."""
    values = grid([3.0, ignored, 1.0], [ignored, ignored, -1.0]).requires_grad_()
    behaviour_values = grid([1.0, ignored, 0.0], [ignored, ignored, 2.0])
    term = value_cloning_loss(values=values, behaviour_values=behaviour_values, valid=VALID, replayed=REPLAYED)
    term.sum.backward()
    assert term.sum.item() == 4 + 1 + 9
    assert term.count.item() == 3
    assert term.metrics["value_drift_replayed"].item() == 2
    assert values.grad.tolist() == [[4.0, 0.0, 2.0], [0.0, 0.0, -6.0]]


def random_inputs(seed, steps=9, columns=6, actions=4):
    """Policies and values with NaN at every step that must not count."""
    generator = torch.Generator().manual_seed(seed)
    valid = torch.rand(steps, columns, generator=generator) < 0.8
    replayed = torch.tensor([True, False, True, True, False, True])
    cloned = valid & replayed
    assert cloned.any() and not valid.all()

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    logits, teacher = normal(steps, columns, actions), normal(steps, columns, actions)
    values, stored = (torch.where(cloned, normal(steps, columns), math.nan) for _ in range(2))
    return logits, teacher, values, stored, valid, replayed


@pytest.mark.parametrize("seed", range(3))
def test_equal_the_slow_reference(seed):
    """Σ_a μ log(μ/π) and (V − V_μ)², one element at a time."""
    logits, teacher, values, stored, valid, replayed = random_inputs(seed)
    kl = torch.where(valid & replayed, Categorical(4).kl(teacher, logits), math.nan)
    pi, mu = (np.exp(x.numpy()) / np.exp(x.numpy()).sum(-1, keepdims=True) for x in (logits, teacher))
    policy_sum = value_sum = drift_sum = count = 0
    for t, b in np.ndindex(*valid.shape):
        if valid[t, b] and replayed[b]:
            policy_sum += sum(mu[t, b, a] * np.log(mu[t, b, a] / pi[t, b, a]) for a in range(4))
            value_sum += (values[t, b] - stored[t, b]).item() ** 2
            drift_sum += abs((values[t, b] - stored[t, b]).item())
            count += 1
    policy = policy_cloning_loss(kl=kl, valid=valid, replayed=replayed)
    value = value_cloning_loss(values=values, behaviour_values=stored, valid=valid, replayed=replayed)
    assert policy.count.item() == value.count.item() == count
    assert policy.sum.item() == pytest.approx(policy_sum, rel=1e-12)
    assert value.sum.item() == pytest.approx(value_sum, rel=1e-12)
    assert policy.metrics["kl_replayed"].item() == pytest.approx(policy_sum / count)
    assert value.metrics["value_drift_replayed"].item() == pytest.approx(drift_sum / count)


def test_the_policy_is_drawn_to_the_one_that_acted():
    """∂ KL(μ ‖ softmax z)/∂z is π − μ: that of the reverse divergence would be weighted by π's own probabilities."""
    logits, teacher, _, _, valid, replayed = random_inputs(0)
    logits.requires_grad_()
    policy_cloning_loss(kl=Categorical(4).kl(teacher, logits), valid=valid, replayed=replayed).sum.backward()
    cloned = (valid & replayed)[..., None]
    torch.testing.assert_close(logits.grad, cloned * (logits.detach().softmax(-1) - teacher.softmax(-1)), **EXACT)


def test_the_gradient_stops_at_the_stored_value():
    values, stored = (
        grid([1.0, 2.0, 3.0], [4.0, 5.0, 6.0]).requires_grad_(),
        grid([0.0] * 3, [1.0] * 3).requires_grad_(),
    )
    value_cloning_loss(values=values, behaviour_values=stored, valid=VALID, replayed=REPLAYED).sum.backward()
    assert values.grad.any()
    assert stored.grad is None


def both_terms(x, valid, replayed):
    return (
        policy_cloning_loss(kl=x, valid=valid, replayed=replayed),
        value_cloning_loss(values=x, behaviour_values=-x.detach(), valid=valid, replayed=replayed),
    )


@pytest.mark.parametrize("content", [1.0, math.nan, math.inf])
def test_an_online_batch_is_not_cloned(content):
    x = torch.full((2, 3), content, requires_grad=True)
    for term in both_terms(x, VALID, torch.zeros(3, dtype=torch.bool)):
        (gradient,) = torch.autograd.grad(term.sum, x)
        assert term.sum.item() == term.count.item() == 0
        assert gradient.tolist() == [[0.0] * 3] * 2
        assert all(metric.item() == 0 for metric in term.metrics.values())


def test_a_fault_at_a_replayed_step_shows():
    x = grid([math.nan, 0.0, 0.0], [0.0, 0.0, 0.0])
    assert all(term.sum.isnan() for term in both_terms(x, VALID, REPLAYED))


def test_sums_and_counts_add_over_ranks():
    *_, values, _, valid, replayed = random_inputs(1)
    whole = both_terms(values, valid, replayed)
    left, right = (both_terms(values[:, part], valid[:, part], replayed[part]) for part in (slice(2), slice(2, None)))
    for all_columns, one, rest in zip(whole, left, right, strict=True):
        torch.testing.assert_close(one.sum + rest.sum, all_columns.sum, **EXACT)
        assert one.count + rest.count == all_columns.count == (valid & replayed).sum()
