"""The V-trace actor-critic objective (Espeholt et al. 2018, §4): one batch to one loss, in two halves."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from learners.losses.entropy import entropy_loss
from learners.losses.policy_gradient import policy_gradient_loss
from learners.losses.term import LossTerm, count_valid, mean_valid
from learners.losses.value import value_loss
from learners.rewards import RewardTransform, transform_reward
from learners.totals import Tallies
from learners.vtrace import VTraceReturns, vtrace
from rl_platform.core.distributions import ActionDistribution
from rl_platform.core.types import Trajectory

Reduction = Literal["sum", "mean"]


@dataclass(frozen=True)
class VtraceSettings:
    """What the objective is made of; ranges are those of the configuration's `learner` section."""

    discount: float = 0.99
    trace_decay: float = 1.0
    rho_clip: float = 1.0
    c_clip: float = 1.0
    pg_rho_clip: float = 1.0
    reduction: Reduction = "sum"
    reward_transform: RewardTransform = "clamp"
    value_weight: float = 0.5
    normalize_advantages: bool = False


class Estimates(NamedTuple):
    """Before the ranks have met: what the present network says of one rank's batch."""

    params: Tensor
    """[T, B, P] differentiable: without the bootstrap row, like the rest."""
    values: Tensor
    """[T, B] differentiable: head 0."""
    log_prob: Tensor
    """[T, B] differentiable: log π(a_t|x_t)."""
    log_ratios: Tensor
    """[T, B] log π(a_t|x_t) − log μ(a_t|x_t)."""
    returns: VTraceReturns
    steps: Trajectory
    tallies: Tallies


class Objective(NamedTuple):
    """One rank's part of what all ranks together minimise and show: parts are added, gradients too."""

    loss: Tensor
    """[] differentiable."""
    metrics: dict[str, Tensor]
    """[] each, without gradient, named as in `METRICS`; `loss/<term>` as it enters the loss, weight and reduction
    included."""


METRICS = (
    "loss/policy", "loss/value", "loss/entropy", "loss/total", "advantage_abs_mean", "explained_variance",
    "entropy_mean", "rho_mean", "rho_clip_share", "kl_behaviour", "value_mean",
)  # fmt: skip
"""What every rank shows, so that one without a batch knows what it adds nothing to."""


def vtrace_estimates(*, params: Tensor, values: Tensor, steps: Trajectory, distribution: ActionDistribution,
                     settings: VtraceSettings) -> Estimates:  # fmt: skip
    """The first half of an update, computed in the dtype of `values` (the batch is float32).

    Args:
      params: [T+1, B, P] of the present policy; values: [T+1, B, H], of which head 0 is trained. The last row
        bootstraps only.
      steps: tensors [T, B, …].
    """
    steps = steps._replace(behaviour=steps.behaviour.to(params.dtype), reward=steps.reward.to(values.dtype))
    log_prob = distribution.log_prob(params[:-1], steps.action)
    log_ratios = log_prob.detach() - distribution.log_prob(steps.behaviour, steps.action)
    returns = _returns(log_ratios, values[..., 0].detach(), steps, settings)
    advantages = returns.advantages.double()  # 0 at invalid steps
    tallies = Tallies(count_valid(steps.valid, torch.float64), advantages.sum(), advantages.square().sum())
    return Estimates(params[:-1], values[:-1, :, 0], log_prob, log_ratios, returns, steps, tallies)


def vtrace_objective(estimates: Estimates, totals: Tallies, *, distribution: ActionDistribution,
                     settings: VtraceSettings, entropy_weight: float) -> Objective:  # fmt: skip
    """The second half: policy gradient + value_weight · value loss + entropy_weight · entropy loss.

    Means are over every rank's valid steps: this rank's part of one is its own mean times its share of the steps.
    (For the explained variance, no mean itself, that is an approximation.)

    Args:
      totals: the estimates' tallies, added over the ranks.
    """
    params, values, valid = estimates.params, estimates.values, estimates.steps.valid
    advantages, entropy = estimates.returns.advantages, distribution.entropy(params)
    if settings.normalize_advantages:
        advantages = normalized(advantages, totals)
    terms = {
        "policy": (1.0, policy_gradient_loss(log_prob=estimates.log_prob, advantages=advantages, valid=valid)),
        "value": (settings.value_weight, value_loss(values=values, targets=estimates.returns.targets, valid=valid)),
        "entropy": (entropy_weight, entropy_loss(entropy=entropy, valid=valid)),
    }
    count = totals.steps.to(values.dtype)
    total = weighted_sum({name: (weight, term._replace(count=count)) for name, (weight, term) in terms.items()},
                         settings.reduction)  # fmt: skip
    kl = distribution.kl(estimates.steps.behaviour, params.detach())
    means = off_policy_metrics(estimates.log_ratios, kl, valid, settings.rho_clip)
    for _, term in terms.values():
        means |= term.metrics
    means["value_mean"] = mean_valid(values, valid)
    share = estimates.tallies.steps.to(values.dtype) / count.clamp_min(1)
    return Objective(total.loss, total.metrics | {name: mean * share for name, mean in means.items()})


def normalized(advantages: Tensor, totals: Tallies) -> Tensor:
    """(A − mean) / (std + 1e-8) [T, B] with the moments of every rank's valid steps; without meaning at invalid ones.

    The standard deviation is that of the steps themselves (÷ n).
    """
    count = totals.steps.clamp_min(1)
    mean = totals.advantages / count
    std = (totals.squared_advantages / count - mean.square()).clamp_min(0).sqrt()
    return ((advantages.double() - mean) / (std + 1e-8)).to(advantages.dtype)


def _returns(log_ratios: Tensor, values: Tensor, steps: Trajectory, settings: VtraceSettings) -> VTraceReturns:
    return vtrace(
        log_ratios=log_ratios,
        rewards=transform_reward(steps.reward, settings.reward_transform),
        values=values,
        discounts=settings.discount * (~steps.terminated).to(values.dtype),
        valid=steps.valid,
        rho_clip=settings.rho_clip,
        c_clip=settings.c_clip,
        pg_rho_clip=settings.pg_rho_clip,
        trace_decay=settings.trace_decay,
    )


def weighted_sum(terms: dict[str, tuple[float, LossTerm]], reduction: Reduction) -> Objective:
    """Σ weight · sum / n over the terms (weight, term); n = 1 for `sum`, the term's own count for `mean`."""
    parts = {
        name: weight * (term.sum / term.count.clamp_min(1) if reduction == "mean" else term.sum)
        for name, (weight, term) in terms.items()
    }
    loss = torch.stack(list(parts.values())).sum()
    metrics = {f"loss/{name}": part.detach() for name, part in parts.items()} | {"loss/total": loss.detach()}
    return Objective(loss, metrics)


@torch.no_grad()
def off_policy_metrics(log_ratios: Tensor, kl: Tensor, valid: Tensor, rho_clip: float) -> dict[str, Tensor]:
    """How far the present policy is from the one that acted, over valid steps; all [T, B].

    Returns: `rho_mean`, the unclipped π/μ (1 in expectation); `rho_clip_share`, the steps on which it exceeds
      `rho_clip`; `kl_behaviour`, KL(μ‖π) in nats.
    """
    ratios = log_ratios.exp()
    return {
        "rho_mean": mean_valid(ratios, valid),
        "rho_clip_share": mean_valid((ratios > rho_clip).to(ratios.dtype), valid),
        "kl_behaviour": mean_valid(kl, valid),
    }
