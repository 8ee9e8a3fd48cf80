"""Loss terms: literal numbers, closed-form gradients, stopped gradients, and NaN at invalid steps."""

import math

import pytest
import torch

from learners.losses.entropy import entropy_loss
from learners.losses.policy_gradient import policy_gradient_loss
from learners.losses.value import value_loss
from rl_platform.core.distributions import Categorical

EXACT = {"rtol": 0, "atol": 1e-12}
VALID = torch.tensor([[True, True], [False, True]])


def grid(*rows):
    return torch.tensor(rows, dtype=torch.float64)


def policy(steps=4, columns=3, actions=5):
    """Logits that ask for a gradient, actions, and a mask with both kinds."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(steps, columns, actions, generator=generator, dtype=torch.float64).requires_grad_()
    action = torch.randint(0, actions, (steps, columns), generator=generator)
    valid = torch.rand(steps, columns, generator=generator) < 0.7
    assert valid.any()
    assert not valid.all()
    return logits, action, valid


@pytest.mark.parametrize("ignored", [7.0, math.nan, math.inf])
def test_policy_gradient_literal(ignored):
    log_prob = grid([-1.0, -2.0], [ignored, -0.5]).requires_grad_()
    term = policy_gradient_loss(log_prob=log_prob, advantages=grid([3.0, -1.0], [ignored, 2.0]), valid=VALID)
    term.sum.backward()
    torch.testing.assert_close(term.sum.item(), 3.0 - 2.0 + 1.0)
    torch.testing.assert_close(log_prob.grad, grid([-3.0, 1.0], [0.0, -2.0]), **EXACT)
    assert term.count.item() == 3


@pytest.mark.parametrize("ignored", [7.0, math.nan, math.inf])
def test_value_literal(ignored):
    values = grid([1.0, 2.0], [ignored, -1.0]).requires_grad_()
    term = value_loss(values=values, targets=grid([3.0, 2.0], [ignored, 0.0]), valid=VALID)
    term.sum.backward()
    torch.testing.assert_close(term.sum.item(), 0.5 * (4 + 0 + 1))
    torch.testing.assert_close(values.grad, grid([-2.0, 0.0], [0.0, -1.0]), **EXACT)
    assert term.count.item() == 3
    # Errors 2, 0, 1 have variance 2/3; targets 3, 2, 0 have variance 14/9.
    torch.testing.assert_close(term.metrics["explained_variance"].item(), 1 - (2 / 3) / (14 / 9))


@pytest.mark.parametrize("ignored", [7.0, math.nan, math.inf])
def test_entropy_literal(ignored):
    entropy = grid([1.0, 0.5], [ignored, 0.0]).requires_grad_()
    term = entropy_loss(entropy=entropy, valid=VALID)
    term.sum.backward()
    torch.testing.assert_close(term.sum.item(), -1.5)
    torch.testing.assert_close(entropy.grad, grid([-1.0, -1.0], [0.0, -1.0]), **EXACT)
    assert term.count.item() == 3
    torch.testing.assert_close(term.metrics["entropy_mean"].item(), 0.5)


def test_policy_gradient_of_logits():
    """∂/∂z of −A log softmax(z)[a] is A (p − onehot(a)), and 0 at invalid steps."""
    logits, action, valid = policy()
    advantages = torch.randn(action.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    log_prob = Categorical(5).log_prob(logits, action)
    policy_gradient_loss(log_prob=log_prob, advantages=advantages, valid=valid).sum.backward()
    onehot = torch.nn.functional.one_hot(action, 5)
    expected = (valid * advantages)[..., None] * (logits.detach().softmax(-1) - onehot)
    torch.testing.assert_close(logits.grad, expected, **EXACT)


def test_entropy_gradient_of_logits():
    """∂H/∂z_k is −p_k (log p_k + H), so the loss, −H, has the opposite."""
    logits, _, valid = policy()
    entropy = Categorical(5).entropy(logits)
    entropy_loss(entropy=entropy, valid=valid).sum.backward()
    log_p = logits.detach().log_softmax(-1)
    expected = valid[..., None] * log_p.exp() * (log_p + entropy.detach()[..., None])
    torch.testing.assert_close(logits.grad, expected, **EXACT)


def test_a_step_along_each_gradient_does_what_it_is_for():
    logits, action, valid = policy()
    distribution = Categorical(5)
    before = distribution.log_prob(logits, action), distribution.entropy(logits)
    losses = (
        policy_gradient_loss(log_prob=before[0], advantages=torch.ones_like(before[0]), valid=valid),
        entropy_loss(entropy=before[1], valid=valid),
    )
    measures = (lambda z: distribution.log_prob(z, action), distribution.entropy)
    for loss, old, measure in zip(losses, before, measures, strict=True):
        (gradient,) = torch.autograd.grad(loss.sum, logits, retain_graph=True)
        new = measure(logits.detach() - 1e-3 * gradient)
        assert (new > old)[valid].all()
        assert torch.equal(new[~valid], old[~valid])


def test_gradients_stop_at_advantages_and_targets():
    advantages, targets = (grid([1.0, 2.0], [3.0, 4.0]).requires_grad_() for _ in range(2))
    log_prob, values = (grid([-1.0, -2.0], [-3.0, -4.0]).requires_grad_() for _ in range(2))
    policy_gradient_loss(log_prob=log_prob, advantages=advantages, valid=VALID).sum.backward()
    value_loss(values=values, targets=targets, valid=VALID).sum.backward()
    assert advantages.grad is None
    assert targets.grad is None
    assert log_prob.grad is not None
    assert values.grad is not None


def terms(x, valid):
    return (
        policy_gradient_loss(log_prob=x, advantages=x.detach(), valid=valid),
        value_loss(values=x, targets=-x.detach(), valid=valid),
        entropy_loss(entropy=x, valid=valid),
    )


def test_nothing_valid_gives_zeros_and_finite_metrics():
    x = torch.full((2, 2), math.nan, requires_grad=True)
    for term in terms(x, torch.zeros(2, 2, dtype=torch.bool)):
        (gradient,) = torch.autograd.grad(term.sum, x)
        assert term.sum.item() == term.count.item() == 0
        assert not gradient.any()
        assert all(metric.isfinite() and not metric.requires_grad for metric in term.metrics.values())


def test_a_fault_at_a_valid_step_shows():
    x = torch.tensor([[1.0, math.nan], [1.0, 1.0]], requires_grad=True)
    assert all(term.sum.isnan() for term in terms(x, VALID))


def test_sums_and_counts_add_over_ranks():
    """Halves of a batch give the numbers of the whole: what the reduction over learner ranks relies on."""
    x = torch.randn(6, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    valid = torch.rand(6, 4, generator=torch.Generator().manual_seed(3)) < 0.6
    whole, left, right = terms(x, valid), terms(x[:, :1], valid[:, :1]), terms(x[:, 1:], valid[:, 1:])
    for all_columns, one, rest in zip(whole, left, right, strict=True):
        torch.testing.assert_close(one.sum + rest.sum, all_columns.sum, **EXACT)
        assert one.count + rest.count == all_columns.count == valid.sum()
