"""The terms of the objective: which there are, and what each is made from.

A new term needs: its loss in `learners/losses/`; a weight in `LearnerSettings` (or in `Coefficients`, if it changes in
training), its key in `configs.learner.TermsConfig` and the line between the two in `rl_platform.runtime.build`; its
place here; and the names of what it shows in `learners.objective.metric_names`.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from learners.estimates import Estimates
from learners.losses.cloning import policy_cloning_loss, value_cloning_loss
from learners.losses.entropy import entropy_loss
from learners.losses.impact import impact_loss
from learners.losses.policy_gradient import policy_gradient_loss
from learners.losses.ppo import ppo_loss
from learners.losses.target_kl import target_kl_loss
from learners.losses.term import LossTerm, mean_valid
from learners.losses.value import value_loss
from learners.settings import LearnerSettings
from learners.totals import Tallies
from rl_platform.core.distributions import ActionDistribution


class Coefficients(NamedTuple):
    """Weights that change in training."""

    entropy: float
    target_kl: float = 0.0


class Term(NamedTuple):
    """One rank's loss, and what makes it a part of all ranks' objective."""

    weight: float
    loss: LossTerm
    count: Tensor
    """[] the loss's count added over the ranks, in its dtype."""

    @property
    def share(self) -> Tensor:
        """[] this rank's part of the count: its means times this add up to those over all ranks."""
        return self.loss.count / self.count.clamp_min(1)


def loss_terms(estimates: Estimates, totals: Tallies, kl_behaviour: Tensor, *, distribution: ActionDistribution,
               settings: LearnerSettings, coefficients: Coefficients) -> dict[str, Term]:  # fmt: skip
    """The terms that the settings ask for, by name.

    Args:
      totals: the ranks' tallies, added up.
      kl_behaviour: [T, B] KL(μ‖π), of `behaviour_divergence`.
    """
    outputs, valid, values = estimates.outputs, estimates.returns.valid, estimates.values
    entropy = entropy_loss(entropy=distribution.entropy(outputs.params), valid=valid)
    value = value_loss(values=values, targets=estimates.returns.targets, valid=valid)
    count = totals.steps.to(values.dtype)
    terms = {
        "policy": Term(1.0, _policy_loss(estimates, settings), count),
        "value": Term(settings.value_weight, value, count),
        "entropy": Term(coefficients.entropy, entropy, count),
    }
    if settings.penalizes_target_kl:
        assert outputs.target is not None
        target_kl = target_kl_loss(kl=distribution.kl(outputs.target.params, outputs.params), valid=valid)
        terms["target_kl"] = Term(coefficients.target_kl, target_kl, count)
    if estimates.returns.intrinsic is not None:
        terms |= _exploration_terms(estimates, totals, settings)
    return terms | _cloning_terms(estimates, totals.replayed.to(values.dtype), kl_behaviour, settings)


def _policy_loss(estimates: Estimates, settings: LearnerSettings) -> LossTerm:
    outputs, returns = estimates.outputs, estimates.returns
    steps = {"log_prob": outputs.log_prob, "advantages": returns.advantages, "valid": returns.valid}
    if settings.objective == "vtrace":
        return policy_gradient_loss(**steps)
    if settings.objective == "ppo":
        return ppo_loss(old_log_prob=outputs.behaviour_log_prob, clip=settings.ratio_clip, **steps)
    assert outputs.target is not None
    return impact_loss(target_log_prob=outputs.target.log_prob, behaviour_log_prob=outputs.behaviour_log_prob,
                       clip=settings.ratio_clip, **steps)  # fmt: skip


def _exploration_terms(estimates: Estimates, totals: Tallies, settings: LearnerSettings) -> dict[str, Term]:
    """Of the values of bonuses, and of what the bonuses come from."""
    intrinsic, values = estimates.returns.intrinsic, estimates.intrinsic_values
    assert intrinsic is not None and estimates.distillation is not None
    loss = value_loss(values=values, targets=intrinsic.targets, valid=intrinsic.valid)
    shown = {f"intrinsic_{name}": value for name, value in loss.metrics.items()}
    shown["intrinsic_value_mean"] = mean_valid(values, intrinsic.valid)
    return {
        "intrinsic_value": Term(settings.intrinsic_value_weight, loss._replace(metrics=shown),
                                totals.intrinsic.to(values.dtype)),
        "rnd": Term(settings.rnd_weight, estimates.distillation, totals.distilled.to(values.dtype)),
    }  # fmt: skip


def _cloning_terms(
    estimates: Estimates, count: Tensor, kl_behaviour: Tensor, settings: LearnerSettings
) -> dict[str, Term]:
    """CLEAR's, on replayed columns; `count` [] of their steps on all ranks."""
    steps, where = estimates.sample.steps, {"valid": estimates.returns.valid, "replayed": estimates.sample.replayed}
    terms = {}
    if settings.policy_cloning_weight:
        loss = policy_cloning_loss(kl=kl_behaviour, **where)
        terms["policy_cloning"] = Term(settings.policy_cloning_weight, loss, count)
    if settings.value_cloning_weight:
        loss = value_cloning_loss(values=estimates.values, behaviour_values=steps.value[..., 0], **where)
        terms["value_cloning"] = Term(settings.value_cloning_weight, loss, count)
    return terms


def behaviour_divergence(estimates: Estimates, distribution: ActionDistribution) -> Tensor:
    """KL(μ‖π) [T, B] in nats, differentiable in π; 0 where nothing is learned, so that NaN in μ has no gradient."""
    params = estimates.outputs.params
    behaviour = torch.where(estimates.returns.valid[..., None], estimates.sample.steps.behaviour, params.detach())
    return distribution.kl(behaviour, params)
