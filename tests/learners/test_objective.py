"""The objective against values worked out by hand, and its parts on several ranks."""

from dataclasses import replace

import pytest
import torch

from learners.estimates import Estimates, estimate, network_outputs
from learners.objective import Objective, metric_names, objective
from learners.relevance import Relevance
from learners.rewards import transform_reward
from learners.sample import Sample
from learners.settings import ImpactSettings, LearnerSettings
from learners.terms import Coefficients
from learners.totals import Tallies
from rl_platform.core.distributions import Categorical
from rl_platform.core.types import Trajectory

SETTINGS = LearnerSettings(discount=0.9, value_weight=0.5)
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


def by_hand(trajectory: Trajectory, settings: LearnerSettings = SETTINGS, entropy_weight: float = 0.0):
    params = torch.log(torch.tensor([[[0.2, 0.8]], [[0.4, 0.6]], [[0.9, 0.1]], [[0.5, 0.5]]])).requires_grad_()
    values = torch.tensor([[0.5], [1.0], [1.5], [2.0]])[..., None].requires_grad_()
    result = on_one_rank(params, values, trajectory, settings, entropy_weight)
    result.loss.backward()
    return result, params.grad, values.grad


def first_half(params: torch.Tensor, values: torch.Tensor, trajectory: Trajectory, settings: LearnerSettings,
               target_params: torch.Tensor | None = None) -> Estimates:  # fmt: skip
    """Every other column is a replayed one; `target_params` are for IMPACT alone."""
    target_params = target_params if settings.objective == "impact" else None
    outputs = network_outputs(params=params, values=values, steps=trajectory, distribution=Categorical(2),
                          target_params=target_params)  # fmt: skip
    replayed = torch.arange(params.shape[1]) % 2 == 1
    return estimate(Sample(trajectory, replayed), outputs, distribution=Categorical(2), settings=settings)


def on_one_rank(params: torch.Tensor, values: torch.Tensor, trajectory: Trajectory, settings: LearnerSettings,
                entropy_weight: float) -> Objective:  # fmt: skip
    estimates = first_half(params, values, trajectory, settings)
    return second_half(estimates, estimates.tallies, settings, entropy_weight)


def second_half(estimates: Estimates, totals: Tallies, settings: LearnerSettings, entropy: float = 0.0,
                target_kl: float = 0.0) -> Objective:  # fmt: skip
    return objective(estimates, totals, distribution=Categorical(2), settings=settings,
                     coefficients=Coefficients(entropy, target_kl))  # fmt: skip


def test_literal_values():
    """By hand: w = ½, 1, 9/8, so ρ = c = ½, 1, 1.

    δ = ½(.5+.9−.5), .9·1.5−1, 1+1.8−1.5 = .45, .35, 1.3; Δ₂ = 1.3, Δ₁ = .35+.9·1.3 = 1.52, Δ₀ = .45+.45·1.52 = 1.134.
    v = 1.634, 2.52, 2.8; A = ½(.5+.9·2.52−.5), .9·2.8−1, 1+1.8−1.5 = 1.134, 1.52, 1.3.
    """
    result, params_gradient, values_gradient = by_hand(steps())
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


def test_divergences_of_unequal_policies():
    """μ = (.7, .3), π = (.5, .5): KL(μ‖π) = .0822828 is shown of all, KL(π‖μ) = .0871767 of the replayed column."""
    two = steps()._replace(**{name: torch.cat([getattr(steps(), name)] * 2, dim=1)
                              for name in ("action", "reward", "terminated", "valid")},
                           behaviour=torch.log(torch.tensor([0.7, 0.3])).expand(3, 2, 2))  # fmt: skip
    metrics = on_one_rank(torch.zeros(4, 2, 2), torch.zeros(4, 2, 1), two, SETTINGS, 0.0).metrics
    assert metrics["kl_behaviour"].item() == pytest.approx(0.0822828, abs=1e-6)
    assert metrics["kl_to_behaviour_replayed"].item() == pytest.approx(0.0871767, abs=1e-6)


def test_termination_stops_the_bootstrap():
    """At the last step: v = r = 1, so the error is 1 − 1.5."""
    _, _, gradient = by_hand(steps(terminated=torch.tensor([[False], [False], [True]])))
    assert gradient[2, 0, 0].item() == pytest.approx(-0.5 * (1 - 1.5))


def test_invalid_step_has_no_weight():
    _, params, values = by_hand(steps(valid=torch.tensor([[True], [False], [True]])), entropy_weight=0.1)
    assert not params[1].any()
    assert not values[1].any()
    assert params[0].any()


def test_entropy_term():
    with_entropy, without = (by_hand(steps(), entropy_weight=weight)[0] for weight in (0.25, 0.0))
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


ALL_TERMS = LearnerSettings(objective="impact", policy_cloning_weight=0.3, value_cloning_weight=0.2, discount=0.9,
                            relevance=Relevance(threshold=1.0), impact=ImpactSettings(kl_coefficient=0.5))  # fmt: skip


@pytest.mark.parametrize("settings", [SETTINGS, LearnerSettings(estimator="gae", objective="ppo"), ALL_TERMS])
def test_metrics_are_those_named(settings: LearnerSettings):
    """A rank without a batch fills their places with zeros, so that names and order must be known beforehand."""
    generator = torch.Generator().manual_seed(0)
    params, target_params = torch.randn(2, 4, 1, 2, generator=generator)
    trajectory = steps(value=torch.zeros(3, 1, 1))
    estimates = first_half(params, torch.zeros(4, 1, 1), trajectory, settings, target_params)
    shown = second_half(estimates, estimates.tallies, settings).metrics
    assert set(shown) == set(metric_names(settings))
    assert len(metric_names(settings)) == len(shown)


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_normalised_advantages(reduction: str):
    """A = 1.134, 1.52, 1.3 as above: mean 1.318, standard deviation √(Σ(A − mean)²/3); the invalid step has none."""
    valid = torch.tensor([[True], [True], [False]])
    settings = LearnerSettings(discount=0.9, normalize_advantages=True, reduction=reduction)
    for mask, kept in ((torch.ones(3, 1, dtype=torch.bool), 3), (valid, 2)):
        plain, normal = (by_hand(steps(valid=mask), each)[1][:kept, 0, 0] for each in (SETTINGS, settings))
        one_hot_less_probs = torch.tensor([0.8, -0.4, 0.1])[:kept]  # 1[a = 0] − π(0)
        advantages = -plain / one_hot_less_probs
        expected = (advantages - advantages.mean()) / advantages.std(correction=0)
        count = kept if reduction == "mean" else 1
        torch.testing.assert_close(-normal / one_hot_less_probs * count, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "settings",
    [LearnerSettings(discount=0.9, normalize_advantages=True, reduction="mean"), replace(ALL_TERMS, reduction="mean")],
    ids=["vtrace", "impact, cloning and relevance"],
)
def test_parts_of_two_ranks_add_up_to_the_whole(settings: LearnerSettings):
    """Loss, gradients and means of columns apart, given the totals of all, are those of the columns together."""
    generator = torch.Generator().manual_seed(0)
    params, target_params = torch.randn(2, 4, 4, 2, generator=generator, dtype=torch.float64)
    values = torch.randn(4, 4, 1, generator=generator, dtype=torch.float64).requires_grad_()
    params.requires_grad_()
    trajectory = in_four_columns(generator)
    whole_estimates = first_half(params, values, trajectory, settings, target_params)
    whole = second_half(whole_estimates, whole_estimates.tallies, settings, 0.1, 0.5)
    halves = []
    for part in (slice(0, 2), slice(2, 4)):
        columns = Trajectory(*(array[:, part] if array.ndim > 1 else array for array in trajectory))
        halves.append(first_half(params[:, part], values[:, part], columns, settings, target_params[:, part]))
    totals = Tallies(*(one + other for one, other in zip(*(half.tallies for half in halves), strict=True)))
    parts = [second_half(half, totals, settings, 0.1, 0.5) for half in halves]
    torch.testing.assert_close(parts[0].loss + parts[1].loss, whole.loss)
    of_parts = torch.autograd.grad(parts[0].loss + parts[1].loss, (params, values))
    torch.testing.assert_close(of_parts, torch.autograd.grad(whole.loss, (params, values)))
    for name in set(metric_names(settings)) - {"explained_variance"}:
        torch.testing.assert_close(parts[0].metrics[name] + parts[1].metrics[name], whole.metrics[name])


def in_four_columns(generator: torch.Generator) -> Trajectory:
    """The column of `steps` four times, acted by other policies and with an invalid step in two of them."""
    four = Trajectory(*(torch.cat([array] * 4, 1) if array.ndim > 1 else array for array in steps()))
    valid = torch.tensor([[True] * 4, [True, False, True, True], [True, True, False, True]])
    behaviour, value = torch.randn(2, 3, 4, 2, generator=generator, dtype=torch.float64)
    return four._replace(valid=valid, behaviour=behaviour, reward=four.reward.double(), value=value)


def test_reward_transforms():
    reward = torch.tensor([-3.0, -0.5, 0.0, 0.5, 3.0])
    assert transform_reward(reward, "clamp").tolist() == [-1, -0.5, 0, 0.5, 1]
    assert transform_reward(reward, "sign").tolist() == [-1, -1, 0, 1, 1]
    assert transform_reward(reward, "none").tolist() == reward.tolist()
    assert all(transform_reward(torch.tensor([torch.nan]), transform).isnan() for transform in TRANSFORMS)
