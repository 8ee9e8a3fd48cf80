"""The V-trace objective against values worked out by hand."""

import pytest
import torch

from learners.objective import METRICS, Objective, VtraceSettings, vtrace_estimates, vtrace_objective
from learners.rewards import transform_reward
from learners.totals import Tallies
from rl_platform.core.distributions import Categorical
from rl_platform.core.types import Trajectory

SETTINGS = VtraceSettings(discount=0.9, value_weight=0.5)
TRANSFORMS = ("clamp", "sign", "none")


def steps(**replaced: torch.Tensor) -> Trajectory:
    """One column of three steps, two actions."""
    nothing = torch.zeros(0)
    return Trajectory(
        observation=nothing,
        is_first=nothing,
        action=torch.tensor([[0], [1], [0]]),
        reward=torch.tensor([[0.5], [0.0], [1.0]]),
        terminated=torch.zeros(3, 1, dtype=torch.bool),
        truncated=nothing,
        valid=torch.ones(3, 1, dtype=torch.bool),
        behaviour=torch.log(torch.tensor([[[0.4, 0.6]], [[0.4, 0.6]], [[0.8, 0.2]]])),
        value=nothing,
        features=nothing,
        memory=nothing,
        previous_action=nothing,
        previous_reward=nothing,
        task=nothing,
    )._replace(**replaced)


def objective(trajectory: Trajectory, settings: VtraceSettings = SETTINGS, entropy_weight: float = 0.0):
    params = torch.log(torch.tensor([[[0.2, 0.8]], [[0.4, 0.6]], [[0.9, 0.1]], [[0.5, 0.5]]])).requires_grad_()
    values = torch.tensor([[0.5], [1.0], [1.5], [2.0]])[..., None].requires_grad_()
    result = on_one_rank(params, values, trajectory, settings, entropy_weight)
    result.loss.backward()
    return result, params.grad, values.grad


def on_one_rank(params: torch.Tensor, values: torch.Tensor, trajectory: Trajectory, settings: VtraceSettings,
                entropy_weight: float) -> Objective:  # fmt: skip
    estimates = vtrace_estimates(params=params, values=values, steps=trajectory, distribution=Categorical(2),
                                 settings=settings)  # fmt: skip
    return vtrace_objective(estimates, estimates.tallies, distribution=Categorical(2), settings=settings,
                            entropy_weight=entropy_weight)  # fmt: skip


def test_literal_values():
    """By hand: w = ½, 1, 9/8, so ρ = c = ½, 1, 1.

    δ = ½(.5+.9−.5), .9·1.5−1, 1+1.8−1.5 = .45, .35, 1.3; Δ₂ = 1.3, Δ₁ = .35+.9·1.3 = 1.52, Δ₀ = .45+.45·1.52 = 1.134.
    v = 1.634, 2.52, 2.8; A = ½(.5+.9·2.52−.5), .9·2.8−1, 1+1.8−1.5 = 1.134, 1.52, 1.3.
    """
    result, params_gradient, values_gradient = objective(steps())
    advantages, deltas = torch.tensor([1.134, 1.52, 1.3]), torch.tensor([1.134, 1.52, 1.3])
    log_probs = torch.log(torch.tensor([0.2, 0.6, 0.9]))
    metrics = result.metrics
    torch.testing.assert_close(metrics["loss/policy"], -(advantages * log_probs).sum())
    torch.testing.assert_close(metrics["loss/value"], 0.5 * 0.5 * deltas.square().sum())
    torch.testing.assert_close(result.loss.detach(), metrics["loss/policy"] + metrics["loss/value"])
    # ∂/∂logits of −A log softmax_a = A (π − onehot_a); ∂/∂V of ¼(v−V)² = −½(v−V), v without gradient
    one_hot = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    probs = torch.tensor([[0.2, 0.8], [0.4, 0.6], [0.9, 0.1]])
    torch.testing.assert_close(params_gradient[:3, 0], advantages[:, None] * (probs - one_hot))
    torch.testing.assert_close(values_gradient[:3, 0, 0], -0.5 * deltas)
    assert not params_gradient[3].any()
    assert not values_gradient[3].any()
    assert metrics["rho_mean"].item() == pytest.approx((0.5 + 1 + 1.125) / 3)
    assert metrics["rho_clip_share"].item() == pytest.approx(1 / 3)


def test_termination_stops_the_bootstrap():
    """At the last step: v = r = 1, so the error is 1 − 1.5."""
    _, _, gradient = objective(steps(terminated=torch.tensor([[False], [False], [True]])))
    assert gradient[2, 0, 0].item() == pytest.approx(-0.5 * (1 - 1.5))


def test_invalid_step_has_no_weight():
    _, params, values = objective(steps(valid=torch.tensor([[True], [False], [True]])), entropy_weight=0.1)
    assert not params[1].any()
    assert not values[1].any()
    assert params[0].any()


def test_entropy_term():
    with_entropy, without = (objective(steps(), entropy_weight=weight)[0] for weight in (0.25, 0.0))
    probs = torch.tensor([[0.2, 0.8], [0.4, 0.6], [0.9, 0.1]])
    entropy = -(probs * probs.log()).sum(-1)
    torch.testing.assert_close(with_entropy.loss - without.loss, -0.25 * entropy.sum())
    torch.testing.assert_close(with_entropy.metrics["entropy_mean"], entropy.mean())


def test_second_value_head_is_left_alone():
    values = torch.zeros(4, 1, 2, requires_grad=True)
    result = on_one_rank(torch.zeros(4, 1, 2), values, steps(), SETTINGS, entropy_weight=0.0)
    result.loss.backward()
    assert values.grad[:3, :, 0].all()
    assert not values.grad[..., 1].any()


def test_metrics_are_those_named():
    """A rank without a batch fills their places with zeros, so that names and order must be known beforehand."""
    assert set(objective(steps())[0].metrics) == set(METRICS)


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_normalised_advantages(reduction: str):
    """A = 1.134, 1.52, 1.3 as above: mean 1.318, standard deviation √(Σ(A − mean)²/3); the invalid step has none."""
    valid = torch.tensor([[True], [True], [False]])
    settings = VtraceSettings(discount=0.9, normalize_advantages=True, reduction=reduction)
    for mask, kept in ((torch.ones(3, 1, dtype=torch.bool), 3), (valid, 2)):
        plain, normal = (objective(steps(valid=mask), each)[1][:kept, 0, 0] for each in (SETTINGS, settings))
        one_hot_less_probs = torch.tensor([0.8, -0.4, 0.1])[:kept]  # 1[a = 0] − π(0)
        advantages = -plain / one_hot_less_probs
        expected = (advantages - advantages.mean()) / advantages.std(correction=0)
        count = kept if reduction == "mean" else 1
        torch.testing.assert_close(-normal / one_hot_less_probs * count, expected, rtol=1e-4, atol=1e-5)


def test_parts_of_two_ranks_add_up_to_the_whole():
    """Loss, gradients and means of columns apart, given the totals of all, are those of the columns together."""
    generator = torch.Generator().manual_seed(0)
    params = torch.randn(4, 2, 2, generator=generator, dtype=torch.float64).requires_grad_()
    values = torch.randn(4, 2, 1, generator=generator, dtype=torch.float64).requires_grad_()
    both = Trajectory(*(torch.cat([array, array.flip(0)], 1) if array.ndim > 1 else array for array in steps()))
    both = both._replace(valid=torch.tensor([[True, True], [True, False], [True, True]]))
    settings = VtraceSettings(discount=0.9, normalize_advantages=True, reduction="mean")
    shared = {"distribution": Categorical(2), "settings": settings}
    whole = on_one_rank(params, values, both, settings, 0.1)
    columns = [Trajectory(*(array[:, [k]] if array.ndim > 1 else array for array in both)) for k in range(2)]
    halves = [vtrace_estimates(params=params[:, [k]], values=values[:, [k]], steps=columns[k], **shared)
              for k in range(2)]  # fmt: skip
    totals = Tallies(*(one + other for one, other in zip(*(half.tallies for half in halves), strict=True)))
    parts = [vtrace_objective(half, totals, entropy_weight=0.1, **shared) for half in halves]
    torch.testing.assert_close(parts[0].loss + parts[1].loss, whole.loss)
    of_parts = torch.autograd.grad(parts[0].loss + parts[1].loss, (params, values))
    torch.testing.assert_close(of_parts, torch.autograd.grad(whole.loss, (params, values)))
    for name in set(METRICS) - {"explained_variance"}:
        torch.testing.assert_close(parts[0].metrics[name] + parts[1].metrics[name], whole.metrics[name])


def test_reward_transforms():
    reward = torch.tensor([-3.0, -0.5, 0.0, 0.5, 3.0])
    assert transform_reward(reward, "clamp").tolist() == [-1, -0.5, 0, 0.5, 1]
    assert transform_reward(reward, "sign").tolist() == [-1, -1, 0, 1, 1]
    assert transform_reward(reward, "none").tolist() == reward.tolist()
    assert all(transform_reward(torch.tensor([torch.nan]), transform).isnan() for transform in TRANSFORMS)
