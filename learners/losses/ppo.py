"""PPO's clipped surrogate."""

import math

import torch
from torch import Tensor

from learners.losses.term import LossTerm, count_valid, mean_valid


def ppo_loss(*, log_prob: Tensor, old_log_prob: Tensor, advantages: Tensor, valid: Tensor, clip: float) -> LossTerm:
    """−Σ min(r_t A_t, clip(r_t, 1 − ε, 1 + ε) A_t) over valid steps, r_t = π(a_t|x_t) / π_old(a_t|x_t).

    Schulman et al. 2017, eq. 7. Old policy and A without gradient.

    Args:
      log_prob, old_log_prob: [T, B] log π(a_t|x_t), log π_old(a_t|x_t).
      advantages: [T, B].
      valid: [T, B] bool; elsewhere the three may be NaN, and the gradient to `log_prob` is 0.
      clip: ε in (0, 1).

    Returns:
      Metrics `clip_share`, the steps with |r_t − 1| > ε, and `ratio_mean`.
    """
    assert log_prob.shape == old_log_prob.shape == valid.shape, (log_prob.shape, old_log_prob.shape, valid.shape)
    assert advantages.shape == valid.shape, (advantages.shape, valid.shape)
    assert 0 < clip < 1, clip
    log_ratios = torch.where(valid, log_prob - old_log_prob.detach(), 0.0)
    advantages = torch.where(valid, advantages.detach(), 0.0)
    loss = -(_pessimistic(log_ratios, advantages, clip).exp() * advantages).sum()
    return LossTerm(loss, count_valid(valid, loss.dtype), _metrics(log_ratios, valid, clip))


def _pessimistic(log_ratios: Tensor, advantages: Tensor, clip: float) -> Tensor:
    """Log of the ratio that the minimum chooses [T, B]: bounded above where A ≥ 0, below where A < 0.

    Bounded before `exp`: after it, the gradient of a ratio that overflows would be 0 · ∞ where it should be 0.
    """
    capped, floored = log_ratios.clamp(max=math.log1p(clip)), log_ratios.clamp(min=math.log1p(-clip))
    return torch.where(advantages >= 0, capped, floored)


@torch.no_grad()
def _metrics(log_ratios: Tensor, valid: Tensor, clip: float) -> dict[str, Tensor]:
    ratios = log_ratios.exp()
    clipped = (ratios - 1).abs() > clip
    return {"clip_share": mean_valid(clipped.to(ratios.dtype), valid), "ratio_mean": mean_valid(ratios, valid)}
