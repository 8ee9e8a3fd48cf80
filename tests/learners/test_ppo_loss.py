"""PPO's surrogate: literal numbers, a slow reference, its limit at ratio 1, stopped gradients, overflow."""

import math

import numpy as np
import pytest
import torch

from learners.losses.policy_gradient import policy_gradient_loss
from learners.losses.ppo import ppo_loss

EXACT = {"rtol": 0, "atol": 1e-12}


def one_step(ratio, advantage, clip, dtype=torch.float64):
    """The term of one step and the gradient of its sum with respect to log π."""
    log_prob = torch.tensor([[math.log(ratio) - 1.5]], dtype=dtype, requires_grad=True)
    old_log_prob, advantages = torch.full_like(log_prob, -1.5), torch.full_like(log_prob, advantage)
    valid = torch.ones(1, 1, dtype=torch.bool)
    term = ppo_loss(log_prob=log_prob, old_log_prob=old_log_prob, advantages=advantages, valid=valid, clip=clip)
    term.sum.backward()
    return term, log_prob.grad.item()


@pytest.mark.parametrize(
    ("advantage", "ratio", "surrogate", "slope"),
    [
        (1.0, 1.5, 1.1, 0.0),
        (1.0, 0.5, 0.5, 0.5),
        (1.0, 1.05, 1.05, 1.05),
        (-1.0, 0.5, -0.9, 0.0),
        (-1.0, 1.5, -1.5, -1.5),
        (-2.0, 0.95, -1.9, -1.9),
        (0.0, 3.0, 0.0, 0.0),
    ],
)
def test_literal_numbers(advantage, ratio, surrogate, slope):
    """The gradient is that of the ratio, r · A, where the minimum chooses it, and 0 where it chooses the bound."""
    term, gradient = one_step(ratio, advantage, clip=0.1)
    assert term.sum.item() == pytest.approx(-surrogate, abs=1e-12)
    assert gradient == pytest.approx(-slope, abs=1e-12)
    assert term.count.item() == 1
    assert term.metrics["ratio_mean"].item() == pytest.approx(ratio)
    assert term.metrics["clip_share"].item() == (abs(ratio - 1) > 0.1)


def random_inputs(seed, steps=13, columns=6):
    """Ratios on both sides of the clip, advantages of both signs, NaN in all three at invalid steps."""
    generator = torch.Generator().manual_seed(seed)
    valid = torch.rand(steps, columns, generator=generator) < 0.8
    assert valid.any() and not valid.all()

    def normal(scale):
        return scale * torch.randn(steps, columns, generator=generator, dtype=torch.float64)

    log_prob = normal(1.0)
    inputs = {"log_prob": log_prob, "old_log_prob": log_prob + normal(0.3), "advantages": normal(2.0)}
    return {name: torch.where(valid, tensor, math.nan) for name, tensor in inputs.items()} | {"valid": valid}


def reference(log_prob, old_log_prob, advantages, valid, clip):
    """min(r A, clip(r) A) as it is written, one element at a time: loss, gradient, share of clipped steps, mean r."""
    loss, gradient, ratios = 0.0, np.zeros(valid.shape), []
    for t, b in np.argwhere(valid):
        ratio, advantage = np.exp(log_prob[t, b] - old_log_prob[t, b]), advantages[t, b]
        plain, clipped = ratio * advantage, np.clip(ratio, 1 - clip, 1 + clip) * advantage
        loss -= min(plain, clipped)
        gradient[t, b] = -plain if plain <= clipped else 0.0
        ratios.append(ratio)
    return loss, gradient, np.mean([abs(ratio - 1) > clip for ratio in ratios]), np.mean(ratios)


@pytest.mark.parametrize("clip", [0.1, 0.4])
@pytest.mark.parametrize("seed", range(3))
def test_equals_the_slow_reference(seed, clip):
    inputs = random_inputs(seed)
    loss, gradient, clip_share, ratio_mean = reference(**{name: x.numpy() for name, x in inputs.items()}, clip=clip)
    inputs["log_prob"].requires_grad_()
    term = ppo_loss(**inputs, clip=clip)
    term.sum.backward()
    assert term.sum.item() == pytest.approx(loss, rel=1e-12)
    torch.testing.assert_close(inputs["log_prob"].grad, torch.from_numpy(gradient), **EXACT)
    assert term.count.item() == inputs["valid"].sum().item()
    assert 0 < clip_share < 1
    assert term.metrics["clip_share"].item() == pytest.approx(clip_share)
    assert term.metrics["ratio_mean"].item() == pytest.approx(ratio_mean)


def test_at_ratio_one_it_is_the_policy_gradient():
    """The first pass over what the present policy has done: nothing is clipped, and the gradient is plain."""
    inputs = random_inputs(0)
    inputs["log_prob"].requires_grad_()
    term = ppo_loss(**(inputs | {"old_log_prob": inputs["log_prob"].detach().clone()}), clip=0.1)
    plain = policy_gradient_loss(log_prob=inputs["log_prob"], advantages=inputs["advantages"], valid=inputs["valid"])
    gradient, expected = (torch.autograd.grad(loss.sum, inputs["log_prob"])[0] for loss in (term, plain))
    torch.testing.assert_close(gradient, expected, **EXACT)
    assert term.metrics["clip_share"].item() == 0
    assert term.metrics["ratio_mean"].item() == pytest.approx(1)


def test_gradients_stop_at_the_old_policy_and_the_advantages():
    inputs = random_inputs(1)
    for name in ("log_prob", "old_log_prob", "advantages"):
        inputs[name].requires_grad_()
    term = ppo_loss(**inputs, clip=0.2)
    term.sum.backward()
    assert inputs["log_prob"].grad.any()
    assert inputs["old_log_prob"].grad is None
    assert inputs["advantages"].grad is None
    assert not any(metric.requires_grad for metric in term.metrics.values())


def test_a_ratio_that_overflows_is_clipped_where_clipping_is_meant():
    """exp(100) is ∞ in float32. Bounded it has gradient 0; with A < 0 nothing bounds it, and the fault shows."""
    term, gradient = one_step(math.exp(100.0), 1.0, clip=0.25, dtype=torch.float32)
    assert term.sum.item() == pytest.approx(-1.25)
    assert gradient == 0
    term, gradient = one_step(math.exp(100.0), -1.0, clip=0.25, dtype=torch.float32)
    assert term.sum.item() == math.inf
    assert not math.isfinite(gradient)


@pytest.mark.parametrize("name", ["log_prob", "old_log_prob", "advantages"])
def test_a_fault_at_a_valid_step_shows(name):
    inputs = random_inputs(0)
    first_valid = tuple(inputs["valid"].nonzero()[0])
    inputs[name][first_valid] = math.nan
    assert ppo_loss(**inputs, clip=0.2).sum.isnan()


def test_nothing_valid_gives_zeros_and_finite_metrics():
    x = torch.full((2, 2), math.nan, requires_grad=True)
    nothing = torch.zeros(2, 2, dtype=torch.bool)
    term = ppo_loss(log_prob=x, old_log_prob=x, advantages=x, valid=nothing, clip=0.2)
    (gradient,) = torch.autograd.grad(term.sum, x)
    assert term.sum.item() == term.count.item() == 0
    assert not gradient.any()
    assert all(metric.item() == 0 for metric in term.metrics.values())


def test_sums_and_counts_add_over_ranks():
    inputs = random_inputs(2)
    parts = [{name: x[:, columns] for name, x in inputs.items()} for columns in (slice(2), slice(2, None))]
    whole, left, right = (ppo_loss(**each, clip=0.2) for each in (inputs, *parts))
    torch.testing.assert_close(left.sum + right.sum, whole.sum, **EXACT)
    assert left.count + right.count == whole.count
