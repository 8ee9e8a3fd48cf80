"""IMPACT's surrogate: clipped around a target policy."""

import math

import torch
from torch import Tensor

from learners.losses.ppo import ppo_loss
from learners.losses.term import LossTerm


def impact_loss(
    *, log_prob: Tensor, target_log_prob: Tensor, behaviour_log_prob: Tensor, advantages: Tensor, valid: Tensor,
    clip: float, ratio_bound: float = 2.0,
) -> LossTerm:  # fmt: skip
    """−Σ min(r_t A_t, clip(r_t, 1 − ε, 1 + ε) A_t) over valid steps (Luo et al. 2020, IMPACT).

    With target policy π̃ and behaviour policy μ, the ratio is
        r_t = min(μ / π̃, ρ_max) · π / μ = π / max(π̃, μ / ρ_max)
    so this is PPO's loss with that denominator as the old policy. π̃, μ and A are without gradient.

    Args:
      log_prob, target_log_prob, behaviour_log_prob: [T, B] of a_t under π, π̃ and μ.
      advantages: [T, B].
      valid: [T, B] bool; elsewhere all four may be NaN, and the gradient to `log_prob` is 0.
      clip: ε in (0, 1).
      ratio_bound: ρ_max; where μ exceeds ρ_max π̃, μ / ρ_max takes the place of π̃.

    Returns:
      Metrics `clip_share`, the steps with |r_t − 1| > ε, and `ratio_mean`.
    """
    denominator = torch.maximum(target_log_prob, behaviour_log_prob - math.log(ratio_bound))
    return ppo_loss(log_prob=log_prob, old_log_prob=denominator, advantages=advantages, valid=valid, clip=clip)
