"""The loss of random network distillation's predictor."""

import torch
from torch import Tensor

from learners.losses.term import LossTerm, count_valid


def novelty(predicted: Tensor, target: Tensor) -> Tensor:
    """mean_j (f̂_j − f_j)² [N] of outputs [N, D] (Burda et al. 2019; others sum: normalisation takes that out again)."""
    assert predicted.shape == target.shape, (predicted.shape, target.shape)
    return (predicted - target).square().mean(-1)


def rnd_loss(predicted: Tensor, target: Tensor) -> LossTerm:
    """Σ mean_j (f̂_j − f_j)² over the observations that were drawn for it.

    Args:
      predicted: [K, D] differentiable; K may be 0.
      target: [K, D].
    """
    loss = novelty(predicted, target.detach()).sum()
    drawn = torch.ones(len(predicted), dtype=torch.bool, device=predicted.device)
    return LossTerm(loss, count_valid(drawn, loss.dtype), {})
