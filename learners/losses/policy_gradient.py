"""The policy-gradient term."""

import torch
from torch import Tensor

from learners.losses.term import LossTerm, count_valid


def policy_gradient_loss(*, log_prob: Tensor, advantages: Tensor, valid: Tensor) -> LossTerm:
    """−Σ log π(a_t|x_t) · A_t over valid steps, A without gradient (Espeholt et al. 2018, §4.2).

    Args:
      log_prob: [T, B] log π(a_t|x_t).
      advantages: [T, B].
      valid: [T, B] bool; elsewhere both may be NaN, and the gradient to `log_prob` is 0.
    """
    assert log_prob.shape == advantages.shape == valid.shape, (log_prob.shape, advantages.shape, valid.shape)
    # Masked before they meet: the gradient of a product masked after it would be 0 · NaN.
    weights = torch.where(valid, advantages.detach(), 0.0)
    loss = -(torch.where(valid, log_prob, 0.0) * weights).sum()
    return LossTerm(loss, count_valid(valid, loss.dtype), {})
