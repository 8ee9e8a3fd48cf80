"""IMPACT's surrogate and its KL penalty: literal numbers, limits, a slow reference, stopped gradients."""

import math

import numpy as np
import pytest
import torch

from learners.losses.impact import impact_loss
from learners.losses.ppo import ppo_loss
from learners.losses.target_kl import target_kl_loss
from rl_platform.core.distributions import Categorical

EXACT = {"rtol": 0, "atol": 1e-12}


def one_step(present, target, behaviour, **options):
    """The term of one step with advantage 1, from probabilities, and the gradient of its sum as to log π."""
    log_probs = [torch.tensor([[math.log(p)]], dtype=torch.float64) for p in (present, target, behaviour)]
    log_prob, target_log_prob, behaviour_log_prob = log_probs
    term = impact_loss(
        log_prob=log_prob.requires_grad_(),
        target_log_prob=target_log_prob,
        behaviour_log_prob=behaviour_log_prob,
        advantages=torch.ones(1, 1, dtype=torch.float64),
        valid=torch.ones(1, 1, dtype=torch.bool),
        **options,
    )
    term.sum.backward()
    return term, log_prob.grad.item()


@pytest.mark.parametrize(
    ("probabilities", "options", "ratio"),
    [
        ((0.3, 0.2, 0.5), {}, 1.2),  # μ/π̃ = 2.5 > 2, so .3 / (.5 / 2)
        ((0.3, 0.25, 0.4), {}, 1.2),  # μ/π̃ = 1.6, so .3 / .25
        ((0.3, 0.2, 0.5), {"ratio_bound": 1.0}, 0.6),  # .3 / .5
        ((0.24, 0.2, 0.5), {"ratio_bound": math.inf}, 1.2),  # .24 / .2
    ],
    ids=["bounded", "within_the_bound", "bound_1", "no_bound"],
)
def test_literal_numbers(probabilities, options, ratio):
    term, gradient = one_step(*probabilities, clip=0.4, **options)
    assert term.sum.item() == pytest.approx(-ratio, abs=1e-12)
    assert gradient == pytest.approx(-ratio, abs=1e-12)
    assert term.metrics["ratio_mean"].item() == pytest.approx(ratio)


def test_the_ratio_is_clipped_around_the_target_policy():
    term, gradient = one_step(0.3, 0.2, 0.5, clip=0.1)
    assert term.sum.item() == pytest.approx(-1.1)
    assert gradient == 0
    assert term.metrics["clip_share"].item() == 1


def random_inputs(seed, steps=11, columns=5):
    """μ/π̃ on both sides of 2, π/π̃ on both sides of the clip, NaN in all at invalid steps."""
    generator = torch.Generator().manual_seed(seed)
    valid = torch.rand(steps, columns, generator=generator) < 0.8
    assert valid.any() and not valid.all()

    def normal(scale):
        return scale * torch.randn(steps, columns, generator=generator, dtype=torch.float64)

    target = normal(1.0) - 2
    inputs = {
        "log_prob": target + normal(0.4),
        "target_log_prob": target,
        "behaviour_log_prob": target + normal(0.8),
        "advantages": normal(1.0),
    }
    return {name: torch.where(valid, tensor, math.nan) for name, tensor in inputs.items()} | {"valid": valid}


def reference(log_prob, target_log_prob, behaviour_log_prob, advantages, valid, clip, ratio_bound):
    """min(μ/π̃, ρ_max) · π/μ in place of PPO's ratio, one element at a time: loss, its gradient, how many bounded."""
    loss, gradient, bounded = 0.0, np.zeros(valid.shape), 0
    for t, b in np.argwhere(valid):
        present, target, behaviour = (np.exp(x[t, b]) for x in (log_prob, target_log_prob, behaviour_log_prob))
        ratio = min(behaviour / target, ratio_bound) * present / behaviour
        plain = ratio * advantages[t, b]
        clipped = np.clip(ratio, 1 - clip, 1 + clip) * advantages[t, b]
        loss -= min(plain, clipped)
        gradient[t, b] = -plain if plain <= clipped else 0.0
        bounded += behaviour / target > ratio_bound
    return loss, gradient, bounded


@pytest.mark.parametrize(("clip", "ratio_bound"), [(0.4, 2.0), (0.2, 1.3)])
@pytest.mark.parametrize("seed", range(3))
def test_equals_the_slow_reference(seed, clip, ratio_bound):
    inputs, options = random_inputs(seed), {"clip": clip, "ratio_bound": ratio_bound}
    loss, gradient, bounded = reference(**{name: x.numpy() for name, x in inputs.items()}, **options)
    assert 0 < bounded < inputs["valid"].sum()
    inputs["log_prob"].requires_grad_()
    term = impact_loss(**inputs, **options)
    term.sum.backward()
    assert term.sum.item() == pytest.approx(loss, rel=1e-12)
    torch.testing.assert_close(inputs["log_prob"].grad, torch.from_numpy(gradient), **EXACT)
    assert term.count.item() == inputs["valid"].sum().item()


def test_with_the_behaviour_policy_as_target_it_is_ppo():
    inputs = random_inputs(0)
    inputs["target_log_prob"] = inputs["behaviour_log_prob"]
    old = {"old_log_prob": inputs["behaviour_log_prob"]}
    shared = {name: inputs[name] for name in ("log_prob", "advantages", "valid")}
    torch.testing.assert_close(impact_loss(**inputs, clip=0.2), ppo_loss(**shared, **old, clip=0.2), **EXACT)


def test_at_the_target_policy_nothing_is_clipped():
    """As long as μ/π̃ ≤ ρ_max, however far μ is."""
    inputs = random_inputs(1)
    inputs["log_prob"] = inputs["target_log_prob"].clone().requires_grad_()
    inputs["behaviour_log_prob"] = torch.minimum(inputs["behaviour_log_prob"], inputs["target_log_prob"] + math.log(2))
    term = impact_loss(**inputs, clip=0.1)
    term.sum.backward()
    assert term.metrics["clip_share"].item() == 0
    assert term.metrics["ratio_mean"].item() == pytest.approx(1)
    expected = torch.where(inputs["valid"], -inputs["advantages"], 0.0)
    torch.testing.assert_close(inputs["log_prob"].grad, expected, **EXACT)


def test_gradients_reach_the_present_policy_alone():
    inputs = random_inputs(2)
    for name in inputs.keys() - {"valid"}:
        inputs[name].requires_grad_()
    impact_loss(**inputs, clip=0.4).sum.backward()
    assert inputs["log_prob"].grad.any()
    assert all(inputs[name].grad is None for name in ("target_log_prob", "behaviour_log_prob", "advantages"))


@pytest.mark.parametrize("ignored", [7.0, math.nan, math.inf])
def test_target_kl_literal(ignored):
    kl = torch.tensor([[0.5, 0.25], [ignored, 0.0]], requires_grad=True)
    valid = torch.tensor([[True, True], [False, True]])
    term = target_kl_loss(kl=kl, valid=valid)
    term.sum.backward()
    assert term.sum.item() == 0.75
    assert term.count.item() == 3
    assert term.metrics["target_kl"].item() == 0.25
    assert kl.grad.tolist() == [[1.0, 1.0], [0.0, 1.0]]


def test_target_kl_draws_the_policy_to_the_target():
    """∂ KL(π̃ ‖ softmax z)/∂z is π − π̃."""
    generator = torch.Generator().manual_seed(0)
    target, params = (torch.randn(3, 2, 4, generator=generator, dtype=torch.float64) for _ in range(2))
    params.requires_grad_()
    valid = torch.tensor([[True, True], [True, False], [True, True]])
    target_kl_loss(kl=Categorical(4).kl(target, params), valid=valid).sum.backward()
    expected = valid[..., None] * (params.detach().softmax(-1) - target.softmax(-1))
    torch.testing.assert_close(params.grad, expected, **EXACT)
