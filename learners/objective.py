"""The V-trace actor-critic objective (Espeholt et al. 2018, §4): one batch to one loss."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from learners.losses.entropy import entropy_loss
from learners.losses.policy_gradient import policy_gradient_loss
from learners.losses.term import LossTerm, mean_valid
from learners.losses.value import value_loss
from learners.vtrace import VTraceReturns, vtrace
from rl_platform.core.distributions import ActionDistribution
from rl_platform.core.types import Trajectory

RewardTransform = Literal["clamp", "sign", "none"]
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


class Objective(NamedTuple):
    """What is minimised, and what is shown."""

    loss: Tensor
    """[] differentiable."""
    metrics: dict[str, Tensor]
    """[] each, without gradient; `loss/<term>` as it enters the loss, weight and reduction included."""


def vtrace_objective(*, params: Tensor, values: Tensor, steps: Trajectory, distribution: ActionDistribution,
                     settings: VtraceSettings, entropy_weight: float) -> Objective:  # fmt: skip
    """Policy gradient + value_weight · value loss + entropy_weight · entropy loss.

    Args:
      params: [T+1, B, P] of the present policy; values: [T+1, B, H], of which head 0 is trained. The last row
        bootstraps only.
      steps: tensors [T, B, …].
    """
    target, valid = params[:-1], steps.valid
    log_prob = distribution.log_prob(target, steps.action)
    log_ratios = log_prob.detach() - distribution.log_prob(steps.behaviour, steps.action)
    returns = _returns(log_ratios, values[..., 0].detach(), steps, settings)
    terms = {
        "policy": (1.0, policy_gradient_loss(log_prob=log_prob, advantages=returns.advantages, valid=valid)),
        "value": (settings.value_weight, value_loss(values=values[:-1, :, 0], targets=returns.targets, valid=valid)),
        "entropy": (entropy_weight, entropy_loss(entropy=distribution.entropy(target), valid=valid)),
    }
    total = weighted_sum(terms, settings.reduction)
    kl = distribution.kl(steps.behaviour, target.detach())
    metrics = off_policy_metrics(log_ratios, kl, valid, settings.rho_clip)
    metrics["value_mean"] = mean_valid(values[:-1, :, 0], valid)
    return Objective(total.loss, total.metrics | metrics)


def _returns(log_ratios: Tensor, values: Tensor, steps: Trajectory, settings: VtraceSettings) -> VTraceReturns:
    return vtrace(
        log_ratios=log_ratios,
        rewards=transform_reward(steps.reward, settings.reward_transform),
        values=values,
        discounts=settings.discount * (~steps.terminated).float(),
        valid=steps.valid,
        rho_clip=settings.rho_clip,
        c_clip=settings.c_clip,
        pg_rho_clip=settings.pg_rho_clip,
        trace_decay=settings.trace_decay,
    )


def transform_reward(reward: Tensor, transform: RewardTransform) -> Tensor:
    """What the learner sees of raw rewards: clamped to ±1, their sign, or as they are. NaN stays NaN."""
    if transform == "clamp":
        return reward.clamp(-1.0, 1.0)
    if transform == "sign":  # torch's sign of NaN is 0, which would hide a broken environment
        return torch.where(reward.isnan(), reward, reward.sign())
    return reward


def weighted_sum(terms: dict[str, tuple[float, LossTerm]], reduction: Reduction) -> Objective:
    """Σ weight · sum / n over the terms (weight, term); n = 1 for `sum`, the term's own count for `mean`."""
    parts = {
        name: weight * (term.sum / term.count.clamp_min(1) if reduction == "mean" else term.sum)
        for name, (weight, term) in terms.items()
    }
    loss = torch.stack(list(parts.values())).sum()
    metrics = {f"loss/{name}": part.detach() for name, part in parts.items()} | {"loss/total": loss.detach()}
    for _, term in terms.values():
        metrics |= term.metrics
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
        "rho_clip_share": mean_valid((ratios > rho_clip).float(), valid),
        "kl_behaviour": mean_valid(kl, valid),
    }
