"""The second half of a gradient step: from what a network says of a sample to one loss."""

from typing import NamedTuple

import torch
from torch import Tensor

from learners.estimates import Estimates
from learners.losses.term import mean_valid
from learners.settings import LearnerSettings, Reduction
from learners.terms import Coefficients, Term, behaviour_divergence, loss_terms
from learners.totals import Tallies
from rl_platform.core.distributions import ActionDistribution


class Objective(NamedTuple):
    """One rank's part of what all ranks together minimise and show: parts are added, gradients too."""

    loss: Tensor
    """[] differentiable."""
    metrics: dict[str, Tensor]
    """[] each, without gradient, named as in `metric_names`; `loss/<term>` as it enters the loss, weight and reduction
    included."""


METRICS = (
    "loss/policy", "loss/value", "loss/entropy", "loss/total", "advantage_abs_mean", "explained_variance",
    "entropy_mean", "rho_mean", "rho_clip_share", "kl_behaviour", "kl_to_behaviour_replayed", "value_mean",
)  # fmt: skip
"""What every objective shows."""


def metric_names(settings: LearnerSettings) -> tuple[str, ...]:
    """What every rank shows, so that one without a batch knows what it adds nothing to."""
    names = METRICS
    if settings.objective != "vtrace":
        names += ("clip_share", "ratio_mean")
    if settings.penalizes_target_kl:
        names += ("loss/target_kl", "target_kl")
    if settings.policy_cloning_weight:
        names += ("loss/policy_cloning", "kl_replayed")
    if settings.value_cloning_weight:
        names += ("loss/value_cloning", "value_drift_replayed")
    if settings.rnd is not None:
        names += ("loss/intrinsic_value", "loss/rnd", "intrinsic_explained_variance", "intrinsic_value_mean")
    return names


def objective(estimates: Estimates, totals: Tallies, *, distribution: ActionDistribution, settings: LearnerSettings,
              coefficients: Coefficients) -> Objective:  # fmt: skip
    """The weighted sum of the terms that the settings ask for.

    Means are over every rank's steps: this rank's part of one is its own mean times its share of the steps. (For the
    explained variance, no mean itself, that is an approximation.)

    Args:
      totals: the ranks' tallies, added up.
    """
    if settings.normalize_advantages:
        advantages = normalized(estimates.returns.advantages, totals)
        estimates = estimates._replace(returns=estimates.returns._replace(advantages=advantages))
    with torch.set_grad_enabled(torch.is_grad_enabled() and settings.policy_cloning_weight > 0):
        kl = behaviour_divergence(estimates, distribution)
    terms = loss_terms(estimates, totals, kl, distribution=distribution, settings=settings, coefficients=coefficients)
    total = weighted_sum(terms, settings.reduction)
    metrics = total.metrics | _scaled(_means(estimates, kl, settings.rho_clip), terms["policy"].share)
    metrics |= _scaled(*_replayed_divergence(estimates, totals, distribution))
    for term in terms.values():
        metrics |= _scaled(term.loss.metrics, term.share)
    return Objective(total.loss, metrics)


def _scaled(metrics: dict[str, Tensor], factor: Tensor) -> dict[str, Tensor]:
    """Each times `factor` []."""
    return {name: value * factor for name, value in metrics.items()}


def normalized(advantages: Tensor, totals: Tallies) -> Tensor:
    """(A − mean) / (std + 1e-8) [T, B] with the moments of every rank's valid steps; without meaning at invalid ones.

    The standard deviation is that of the steps themselves (÷ n).
    """
    count = totals.steps.clamp_min(1)
    mean = totals.advantages / count
    std = (totals.squared_advantages / count - mean.square()).clamp_min(0).sqrt()
    return ((advantages.double() - mean) / (std + 1e-8)).to(advantages.dtype)


def weighted_sum(terms: dict[str, Term], reduction: Reduction) -> Objective:
    """Σ weight · sum / n over the terms; n = 1 for `sum`, the term's count over all ranks for `mean`."""
    parts = {
        name: term.weight * (term.loss.sum / term.count.clamp_min(1) if reduction == "mean" else term.loss.sum)
        for name, term in terms.items()
    }
    loss = torch.stack(list(parts.values())).sum()
    metrics = {f"loss/{name}": part.detach() for name, part in parts.items()} | {"loss/total": loss.detach()}
    return Objective(loss, metrics)


def _means(estimates: Estimates, kl_behaviour: Tensor, rho_clip: float) -> dict[str, Tensor]:
    """What is shown beside the terms' own metrics: means [] over this rank's valid steps."""
    valid = estimates.returns.valid
    return off_policy_metrics(estimates.outputs.target_log_ratios, kl_behaviour, valid, rho_clip) | {
        "advantage_abs_mean": mean_valid(estimates.returns.advantages.abs(), valid),
        "value_mean": mean_valid(estimates.values, valid),
    }


@torch.no_grad()
def _replayed_divergence(estimates: Estimates, totals: Tallies,
                         distribution: ActionDistribution) -> tuple[dict[str, Tensor], Tensor]:  # fmt: skip
    """Mean KL(π‖μ) in nats over this rank's replayed steps, relevant or not, and its part of all ranks' []."""
    replayed = estimates.sample.steps.valid & estimates.sample.replayed
    kl = distribution.kl(estimates.outputs.params, estimates.sample.steps.behaviour)
    share = estimates.tallies.offered_replayed / totals.offered_replayed.clamp_min(1)
    return {"kl_to_behaviour_replayed": mean_valid(kl, replayed)}, share.to(kl.dtype)


@torch.no_grad()
def off_policy_metrics(log_ratios: Tensor, kl: Tensor, valid: Tensor, rho_clip: float) -> dict[str, Tensor]:
    """How far policies are from the one that acted, μ, over valid steps; all [T, B].

    Args:
      log_ratios: of the policy whose returns are estimated, to μ.
      kl: KL(μ‖π) of the present policy, in nats.

    Returns: `rho_mean`, the unclipped ratio (1 in expectation); `rho_clip_share`, the steps on which it exceeds
      `rho_clip`; `kl_behaviour`.
    """
    ratios = log_ratios.exp()
    return {
        "rho_mean": mean_valid(ratios, valid),
        "rho_clip_share": mean_valid((ratios > rho_clip).to(ratios.dtype), valid),
        "kl_behaviour": mean_valid(kl, valid),
    }
