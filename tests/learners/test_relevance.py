"""Behaviour relevance: literal divergences, a slow reference, its effect on V-trace, its limits."""

import math

import numpy as np
import pytest
import torch

from learners.losses.policy_gradient import policy_gradient_loss
from learners.relevance import Relevance, implied_policy, relevant
from learners.vtrace import vtrace
from rl_platform.core.distributions import Categorical, DiagonalGaussian

FP64 = {"rtol": 0, "atol": 1e-12}
POLICIES = ("implied", "behaviour")
DIRECTIONS = ("pi_first", "tilde_first")


def log_probs(*probabilities):
    """[T, 1, P] from T distributions."""
    return torch.tensor(probabilities, dtype=torch.float64).log()[:, None]


def accepted(relevance, params, behaviour, rho_clip=1.0):
    distribution = Categorical(params.shape[-1])
    return relevant(relevance, distribution=distribution, params=params, behaviour=behaviour, rho_clip=rho_clip)


@pytest.mark.parametrize(
    ("policy", "direction", "divergence"),
    [
        ("implied", "pi_first", 0.2938933325),
        ("implied", "tilde_first", 0.2425859717),
        ("behaviour", "pi_first", 0.5108256238),
        ("behaviour", "tilde_first", 0.3680642072),
    ],
)
def test_literal_divergences(policy, direction, divergence):
    """μ = (.9, .1), π = (.5, .5): accepted just above the divergence, rejected just below it."""
    params, behaviour = log_probs([0.5, 0.5]), log_probs([0.9, 0.1])
    for threshold, expected in ((divergence + 1e-9, True), (divergence - 1e-9, False)):
        assert accepted(Relevance(policy, direction, threshold), params, behaviour).item() is expected


def test_at_the_default_threshold_the_variants_differ():
    params, behaviour = log_probs([0.5, 0.5]), log_probs([0.9, 0.1])
    assert accepted(Relevance(), params, behaviour).item()
    assert not accepted(Relevance(policy="behaviour"), params, behaviour).item()


def test_implied_policy_literal():
    params, behaviour = log_probs([0.5, 0.5]), log_probs([0.9, 0.1])
    implied = implied_policy(params, behaviour, rho_clip=1.0).softmax(-1)
    torch.testing.assert_close(implied, torch.tensor([[[5 / 6, 1 / 6]]], dtype=torch.float64), **FP64)


def random_policies(seed, steps=40, columns=5, actions=3):
    """Unnormalised log-probabilities of π and μ, some near each other and some far apart."""
    generator = torch.Generator().manual_seed(seed)
    params, noise = (torch.randn(steps, columns, actions, generator=generator, dtype=torch.float64) for _ in range(2))
    shift, scale = (torch.rand(steps, columns, 1, generator=generator, dtype=torch.float64) for _ in range(2))
    return params + 5 * shift, params + 3 * scale * noise - 4 * shift


def slow_divergence(pi, mu, policy, direction, rho_clip):
    """By the definitions, for two lists of probabilities."""
    tilde = mu
    if policy == "implied":
        tilde = np.minimum(rho_clip * mu, pi)
        tilde = tilde / tilde.sum()
    p, q = (pi, tilde) if direction == "pi_first" else (tilde, pi)
    return sum(p[a] * np.log(p[a] / q[a]) for a in range(len(p)))


@pytest.mark.parametrize("rho_clip", [1.0, 1.7])
@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("policy", POLICIES)
def test_equals_the_slow_reference(policy, direction, rho_clip):
    params, behaviour = random_policies(0)
    pi, mu = (np.exp(x.numpy()) / np.exp(x.numpy()).sum(-1, keepdims=True) for x in (params, behaviour))
    expected = torch.empty(params.shape[:-1], dtype=torch.bool)
    for t, b in np.ndindex(*expected.shape):
        expected[t, b] = bool(slow_divergence(pi[t, b], mu[t, b], policy, direction, rho_clip) < 0.2)
    assert 10 < expected.sum() < 190
    assert torch.equal(accepted(Relevance(policy, direction, 0.2), params, behaviour, rho_clip), expected)


def example():
    """Three steps of one column. The drawn actions, all 0, have π/μ = ½, 2, 1; only the second step is rejected.

    There π and μ like different actions, so that the implied policy is uniform.
    """
    params = log_probs([0.1, 0.45, 0.45], [0.02, 0.01, 0.97], [0.2, 0.3, 0.5])
    behaviour = log_probs([0.2, 0.4, 0.4], [0.01, 0.98, 0.01], [0.2, 0.3, 0.5])
    inputs = {
        "log_ratios": (params - behaviour)[..., 0],
        "rewards": torch.tensor([[1.0], [0.0], [2.0]], dtype=torch.float64),
        "values": torch.tensor([[0.5], [1.0], [1.5], [2.0]], dtype=torch.float64),
        "discounts": torch.full((3, 1), 0.9, dtype=torch.float64),
    }
    return params, behaviour, inputs


def test_a_rejected_step_stops_the_trace():
    """The step before it bootstraps from its value: v₀ = .5 + ½ (1 + .9 · 1 − .5)."""
    params, behaviour, inputs = example()
    mask = accepted(Relevance(), params, behaviour)
    assert mask.flatten().tolist() == [True, False, True]
    result = vtrace(**inputs, valid=torch.ones_like(mask) & mask)
    torch.testing.assert_close(result.targets.flatten().tolist(), [1.2, 1.0, 3.8], **FP64)
    torch.testing.assert_close(result.advantages.flatten().tolist(), [0.7, 0.0, 2.3], **FP64)


def loss_and_gradient(relevance, params, behaviour, inputs):
    """The policy's V-trace loss over the accepted steps (all with None)."""
    valid = torch.ones(3, 1, dtype=torch.bool)
    if relevance is not None:
        valid = valid & accepted(relevance, params, behaviour)
    logits = params.clone().requires_grad_()
    log_prob = logits.log_softmax(-1)[..., 0]
    advantages = vtrace(**inputs, valid=valid).advantages
    term = policy_gradient_loss(log_prob=log_prob, advantages=advantages, valid=valid)
    (gradient,) = torch.autograd.grad(term.sum, logits)
    return term.sum.detach(), gradient, term.count


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("policy", POLICIES)
def test_limits_of_the_threshold(policy, direction):
    """∞ is plain V-trace; 0 leaves nothing to learn from, though two equal policies differ by a rounding at most."""
    everything, nothing = (Relevance(policy, direction, threshold) for threshold in (math.inf, 0.0))
    plain = loss_and_gradient(None, *example())
    torch.testing.assert_close(loss_and_gradient(everything, *example()), plain, rtol=0, atol=0)
    loss, gradient, count = loss_and_gradient(nothing, *example())
    assert loss == count == 0
    assert not gradient.any()
    params, _ = random_policies(1)
    assert not accepted(nothing, params.float(), params.float() + 3).any()


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("policy", POLICIES)
def test_what_the_present_policy_did_itself_is_accepted(policy, direction):
    params, _ = random_policies(2)
    assert accepted(Relevance(policy, direction, 1e-5), params.float(), params.float() - 2).all()


def test_without_a_clip_the_implied_policy_is_the_present_one():
    params, behaviour = random_policies(3)
    assert accepted(Relevance(threshold=1e-9), params, behaviour, rho_clip=math.inf).all()


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("broken", ["params", "behaviour"])
def test_a_fault_is_not_hidden_and_spoils_no_other_step(policy, broken):
    params, behaviour, _ = example()
    {"params": params, "behaviour": behaviour}[broken][1] = math.nan
    assert accepted(Relevance(policy), params, behaviour).flatten().tolist() == [True, True, True]


@pytest.mark.parametrize(
    ("direction", "divergence"),
    # π = N(0, 1), μ = N(1, 2²): log 2 + (1 + 1)/8 − ½ and −log 2 + (4 + 1)/2 − ½
    [("pi_first", math.log(2) - 0.25), ("tilde_first", 2 - math.log(2))],
)
def test_continuous_actions_are_compared_with_the_behaviour_policy(direction, divergence):
    params, behaviour = torch.tensor([[[0.0, 0.0]]]), torch.tensor([[[1.0, math.log(2)]]])
    for threshold, expected in ((divergence + 1e-5, True), (divergence - 1e-5, False)):
        relevance = Relevance("behaviour", direction, threshold)
        mask = relevant(relevance, distribution=DiagonalGaussian(1), params=params, behaviour=behaviour, rho_clip=1.0)
        assert mask.item() is expected


def test_continuous_actions_have_no_implied_policy():
    nothing = torch.zeros(1, 1, 2)
    with pytest.raises(ValueError, match=r"learner\.relevance\.policy"):
        relevant(Relevance(), distribution=DiagonalGaussian(1), params=nothing, behaviour=nothing, rho_clip=1.0)
