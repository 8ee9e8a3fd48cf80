"""Nearness to a target policy."""

import torch
from torch import Tensor

from learners.losses.term import LossTerm, count_valid, mean_valid


def target_kl_loss(*, kl: Tensor, valid: Tensor) -> LossTerm:
    """Σ KL(π̃(·|x_t) ‖ π(·|x_t)) over valid steps: minimising it holds π near the target policy π̃.

    Args:
      kl: [T, B] in nats, differentiable in π alone.
      valid: [T, B] bool; elsewhere the divergence may be NaN, and its gradient is 0.

    Returns:
      Metric `target_kl`, the mean.
    """
    assert kl.shape == valid.shape, (kl.shape, valid.shape)
    loss = torch.where(valid, kl, 0.0).sum()
    return LossTerm(loss, count_valid(valid, loss.dtype), {"target_kl": mean_valid(kl, valid)})
