"""The first half of a gradient step: what a network says of a sample, and the returns that follow from it."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from learners.losses.term import LossTerm, count_valid
from learners.relevance import relevant
from learners.returns import Returns, gae
from learners.rewards import transform_reward
from learners.sample import IntrinsicTargets, ReturnEstimates, Sample, each_tensor
from learners.settings import LearnerSettings
from learners.totals import Tallies
from learners.vtrace import VTraceReturns, vtrace
from rl_platform.core.distributions import ActionDistribution
from rl_platform.core.types import Trajectory

StreamReturns = Returns | VTraceReturns


class TargetPolicy(NamedTuple):
    """What IMPACT's target network says, without gradient."""

    params: Tensor
    """[T, B, P] of π̃."""
    log_prob: Tensor
    """[T, B] log π̃(a_t|x_t)."""


class NetworkOutputs(NamedTuple):
    """What the present network says of a sample, and what the others said."""

    params: Tensor
    """[T, B, P] differentiable: without the bootstrap row."""
    values: Tensor
    """[T+1, B], or [T, B] of a sample with returns; differentiable: head 0."""
    intrinsic_values: Tensor | None
    """Likewise of bonuses: head 1; None: there are none."""
    log_prob: Tensor
    """[T, B] differentiable: log π(a_t|x_t)."""
    behaviour_log_prob: Tensor
    """[T, B] log μ(a_t|x_t)."""
    target: TargetPolicy | None

    @property
    def target_params(self) -> Tensor:
        """[T, B, P] of the policy whose returns are estimated: the present one, for IMPACT the target network's."""
        return self.params if self.target is None else self.target.params

    @property
    def target_log_ratios(self) -> Tensor:
        """[T, B] log of its probability of a_t over that of the policy that acted, without gradient."""
        log_prob = self.log_prob.detach() if self.target is None else self.target.log_prob
        return log_prob - self.behaviour_log_prob


class Estimates(NamedTuple):
    """One rank's half of a gradient step before the ranks have met."""

    sample: Sample
    outputs: NetworkOutputs
    returns: ReturnEstimates
    tallies: Tallies
    distillation: LossTerm | None = None
    """Of the bonuses' predictor; None: there are none."""

    @property
    def values(self) -> Tensor:
        """[T, B] differentiable: those that are trained, without the bootstrap row."""
        return self.outputs.values[: len(self.returns.valid)]

    @property
    def intrinsic_values(self) -> Tensor:
        """Likewise of bonuses."""
        assert self.outputs.intrinsic_values is not None
        return self.outputs.intrinsic_values[: len(self.returns.valid)]


def network_outputs(*, params: Tensor, values: Tensor, steps: Trajectory, distribution: ActionDistribution,
                    target_params: Tensor | None = None) -> NetworkOutputs:  # fmt: skip
    """From what networks put out to what is needed of it.

    Args:
      params: [T+1, B, P] of the present policy, or [T, B, P]; a last row that only bootstraps is left out.
      values: [T+1, B, H] or [T, B, H]: head 0 of rewards, head 1, if there is one, of bonuses.
      steps: tensors [T, B, …]; behaviour, reward and value in the dtype of `params`.
      target_params: as `params`, of the target policy.
    """
    num_steps = len(steps.action)
    params, target = params[:num_steps], None
    if target_params is not None:
        target_params = target_params[:num_steps].detach()
        target = TargetPolicy(target_params, distribution.log_prob(target_params, steps.action))
    return NetworkOutputs(
        params=params,
        values=values[..., 0],
        intrinsic_values=values[..., 1] if values.shape[-1] > 1 else None,
        log_prob=distribution.log_prob(params, steps.action),
        behaviour_log_prob=distribution.log_prob(steps.behaviour, steps.action),
        target=target,
    )


def join(parts: Iterable[NetworkOutputs]) -> NetworkOutputs:
    """Of some columns each, put together."""
    return each_tensor(lambda *tensors: torch.cat(tensors, dim=1), *parts)


def estimate(sample: Sample, outputs: NetworkOutputs, *, distribution: ActionDistribution,
             settings: LearnerSettings, distillation: LossTerm | None = None) -> Estimates:  # fmt: skip
    """With the returns that the sample has, or else those of the outputs."""
    returns = sample.returns
    if returns is None:
        returns = estimate_returns(outputs, sample, distribution=distribution, settings=settings)
    return Estimates(sample, outputs, returns, _tally(sample, returns, distillation), distillation)


@torch.no_grad()
def estimate_returns(outputs: NetworkOutputs, sample: Sample, *, distribution: ActionDistribution,
                     settings: LearnerSettings) -> ReturnEstimates:  # fmt: skip
    """Value targets and advantages of whole columns [T, B], from the values of T+1 rows.

    V-trace corrects them for the lag of the policy that acted. PPO's advantages are not weighted: the ratio in its
    surrogate would be applied twice.

    Bonuses have returns of their own, which know no episodes: they run through every transition, those that only reset
    as ordinary ones on which both policies agree, and are never cut off (Burda et al. 2019). Advantages are then the
    weighted sum of both.
    """
    steps, valid = sample.steps, sample.steps.valid
    if settings.relevance is not None:
        valid = valid & relevant(settings.relevance, distribution=distribution, params=outputs.target_params,
                                 behaviour=steps.behaviour, rho_clip=settings.rho_clip)  # fmt: skip
    extrinsic = _corrected(
        outputs.target_log_ratios,
        settings,
        rewards=transform_reward(settings.reward_scale * steps.reward, settings.reward_transform),
        values=outputs.values.detach(),
        discounts=settings.discount * (~steps.terminated).to(outputs.values.dtype),
        valid=valid,
    )
    if settings.rnd is None:
        return ReturnEstimates(extrinsic.targets, extrinsic.advantages, valid)
    learned = valid | ~steps.valid  # irrelevant steps alone are left out
    intrinsic = _intrinsic(outputs, sample, learned, settings)
    advantages = (settings.rnd.extrinsic_weight * extrinsic.advantages
                  + settings.rnd.intrinsic_weight * torch.where(valid, intrinsic.advantages, 0.0))  # fmt: skip
    return ReturnEstimates(extrinsic.targets, advantages, valid, IntrinsicTargets(intrinsic.targets, learned))


def _corrected(log_ratios: Tensor, settings: LearnerSettings, **columns: Tensor) -> StreamReturns:
    """What the settings' estimator makes of rewards, values, discounts and valid."""
    if settings.estimator == "gae":
        return gae(trace_decay=settings.trace_decay, **columns)
    return vtrace(
        log_ratios=log_ratios,
        rho_clip=settings.rho_clip,
        c_clip=settings.c_clip,
        pg_rho_clip=None if settings.objective == "ppo" else settings.pg_rho_clip,
        trace_decay=settings.trace_decay,
        **columns,
    )


def _intrinsic(outputs: NetworkOutputs, sample: Sample, learned: Tensor, settings: LearnerSettings) -> StreamReturns:
    """Returns of bonuses over the steps that are `learned` from [T, B] bool."""
    assert settings.rnd is not None and sample.bonuses is not None and outputs.intrinsic_values is not None
    values = outputs.intrinsic_values.detach()
    return _corrected(
        torch.where(sample.steps.valid, outputs.target_log_ratios, 0.0),
        settings,
        rewards=sample.bonuses.rewards.to(values.dtype),
        values=values,
        discounts=torch.full_like(values[1:], settings.rnd.discount),
        valid=learned,
    )


def _tally(sample: Sample, returns: ReturnEstimates, distillation: LossTerm | None) -> Tallies:
    advantages = returns.advantages.double()  # 0 at steps that are not learned from
    nothing = advantages.new_zeros(())
    return Tallies(
        steps=count_valid(returns.valid, torch.float64),
        replayed=count_valid(returns.valid & sample.replayed, torch.float64),
        offered=count_valid(sample.steps.valid, torch.float64),
        offered_replayed=count_valid(sample.steps.valid & sample.replayed, torch.float64),
        advantages=advantages.sum(),
        squared_advantages=advantages.square().sum(),
        intrinsic=nothing if returns.intrinsic is None else count_valid(returns.intrinsic.valid, torch.float64),
        distilled=nothing if distillation is None else distillation.count.double(),
    )
