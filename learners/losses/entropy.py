"""The entropy bonus."""

import torch
from torch import Tensor

from learners.losses.term import LossTerm, count_valid, mean_valid


def entropy_loss(*, entropy: Tensor, valid: Tensor) -> LossTerm:
    """−Σ H(π(·|x_t)) over valid steps: minimising it keeps the policy random.

    Args:
      entropy: [T, B] in nats.
      valid: [T, B] bool; elsewhere the entropy may be NaN, and its gradient is 0.
    """
    assert entropy.shape == valid.shape, (entropy.shape, valid.shape)
    loss = -torch.where(valid, entropy, 0.0).sum()
    return LossTerm(loss, count_valid(valid, loss.dtype), {"entropy_mean": mean_valid(entropy, valid)})
