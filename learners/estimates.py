"""The first half of a gradient step: what a network says of a sample, and the returns that follow from it."""

from typing import NamedTuple

import torch
from torch import Tensor

from learners.losses.term import count_valid
from learners.minibatches import ReturnEstimates, Sample
from learners.relevance import relevant
from learners.returns import gae
from learners.rewards import transform_reward
from learners.settings import LearnerSettings
from learners.totals import Tallies
from learners.vtrace import vtrace
from rl_platform.core.distributions import ActionDistribution
from rl_platform.core.types import Trajectory


class TargetPolicy(NamedTuple):
    """What IMPACT's target network says, without gradient."""

    params: Tensor
    """[T, B, P] of π̃."""
    log_prob: Tensor
    """[T, B] log π̃(a_t|x_t)."""


class Evaluation(NamedTuple):
    """What the present network says of a sample, and what the others said."""

    params: Tensor
    """[T, B, P] differentiable: without the bootstrap row."""
    values: Tensor
    """[T+1, B], or [T, B] of a sample with returns; differentiable: head 0."""
    log_prob: Tensor
    """[T, B] differentiable: log π(a_t|x_t)."""
    behaviour_log_prob: Tensor
    """[T, B] log μ(a_t|x_t)."""
    target: TargetPolicy | None

    @property
    def log_ratios(self) -> Tensor:
        """log π(a_t|x_t) − log μ(a_t|x_t) [T, B], without gradient."""
        return self.log_prob.detach() - self.behaviour_log_prob


class Estimates(NamedTuple):
    """One rank's half of a gradient step before the ranks have met."""

    sample: Sample
    evaluation: Evaluation
    returns: ReturnEstimates
    tallies: Tallies

    @property
    def values(self) -> Tensor:
        """[T, B] differentiable: those that are trained, without the bootstrap row."""
        return self.evaluation.values[: len(self.returns.valid)]


def evaluate(*, params: Tensor, values: Tensor, steps: Trajectory, distribution: ActionDistribution,
             target_params: Tensor | None = None) -> Evaluation:  # fmt: skip
    """From what networks put out to what is needed of it.

    Args:
      params: [T+1, B, P] of the present policy, or [T, B, P]; a last row that only bootstraps is left out.
      values: [T+1, B, H] or [T, B, H], of which head 0 is trained.
      steps: tensors [T, B, …]; behaviour, reward and value in the dtype of `params`.
      target_params: as `params`, of the target policy.
    """
    num_steps = len(steps.action)
    params, target = params[:num_steps], None
    if target_params is not None:
        target_params = target_params[:num_steps].detach()
        target = TargetPolicy(target_params, distribution.log_prob(target_params, steps.action))
    return Evaluation(
        params=params,
        values=values[..., 0],
        log_prob=distribution.log_prob(params, steps.action),
        behaviour_log_prob=distribution.log_prob(steps.behaviour, steps.action),
        target=target,
    )


def estimate(sample: Sample, evaluation: Evaluation, *, distribution: ActionDistribution,
             settings: LearnerSettings) -> Estimates:  # fmt: skip
    """With the returns that the sample has, or else those of the evaluation."""
    returns = sample.returns
    if returns is None:
        returns = estimate_returns(evaluation, sample.steps, distribution=distribution, settings=settings)
    return Estimates(sample, evaluation, returns, _tally(sample, returns))


@torch.no_grad()
def estimate_returns(evaluation: Evaluation, steps: Trajectory, *, distribution: ActionDistribution,
                     settings: LearnerSettings) -> ReturnEstimates:  # fmt: skip
    """Value targets and advantages of whole columns [T, B], from the values of T+1 rows.

    V-trace corrects them for the lag of the policy that acted; its target policy is the present one, for IMPACT the
    target network's. PPO's advantages are not weighted: the ratio in its surrogate would be applied twice.
    """
    valid = steps.valid
    if settings.relevance is not None:
        valid = valid & relevant(settings.relevance, distribution=distribution, params=evaluation.params,
                                 behaviour=steps.behaviour, rho_clip=settings.rho_clip)  # fmt: skip
    columns = {
        "rewards": settings.reward_scale * transform_reward(steps.reward, settings.reward_transform),
        "values": evaluation.values.detach(),
        "discounts": settings.discount * (~steps.terminated).to(evaluation.values.dtype),
        "valid": valid,
    }
    if settings.estimator == "gae":
        returns = gae(trace_decay=settings.trace_decay, **columns)
    else:
        returns = vtrace(
            log_ratios=_target_log_ratios(evaluation),
            rho_clip=settings.rho_clip,
            c_clip=settings.c_clip,
            pg_rho_clip=None if settings.objective == "ppo" else settings.pg_rho_clip,
            trace_decay=settings.trace_decay,
            **columns,
        )
    return ReturnEstimates(returns.targets, returns.advantages, valid)


def _target_log_ratios(evaluation: Evaluation) -> Tensor:
    """[T, B] of the policy whose returns are estimated over the one that acted."""
    if evaluation.target is None:
        return evaluation.log_ratios
    return evaluation.target.log_prob - evaluation.behaviour_log_prob


def _tally(sample: Sample, returns: ReturnEstimates) -> Tallies:
    advantages = returns.advantages.double()  # 0 at steps that are not learned from
    return Tallies(
        steps=count_valid(returns.valid, torch.float64),
        replayed=count_valid(returns.valid & sample.replayed, torch.float64),
        offered=count_valid(sample.steps.valid, torch.float64),
        offered_replayed=count_valid(sample.steps.valid & sample.replayed, torch.float64),
        advantages=advantages.sum(),
        squared_advantages=advantages.square().sum(),
    )
