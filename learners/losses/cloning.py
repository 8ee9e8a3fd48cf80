"""CLEAR's cloning terms: on replayed steps, stay near what acted there (Rolnick et al. 2019).

Sums and counts are over the valid steps of replayed columns; a batch without any gives zeros.
"""

import torch
from torch import Tensor

from learners.losses.term import LossTerm, count_valid, mean_valid


def policy_cloning_loss(*, kl: Tensor, valid: Tensor, replayed: Tensor) -> LossTerm:
    """Σ KL(μ(·|x_t) ‖ π(·|x_t)) over replayed steps: the behaviour policy first, as a teacher.

    Args:
      kl: [T, B] in nats, differentiable in π alone.
      valid: [T, B] bool; replayed: [B] bool. Elsewhere the divergence may be NaN, and its gradient is 0.

    Returns:
      Metric `kl_replayed`, the mean.
    """
    assert kl.shape == valid.shape, (kl.shape, valid.shape)
    cloned = _cloned(valid, replayed)
    loss = torch.where(cloned, kl, 0.0).sum()
    return LossTerm(loss, count_valid(cloned, loss.dtype), {"kl_replayed": mean_valid(kl, cloned)})


def value_cloning_loss(*, values: Tensor, behaviour_values: Tensor, valid: Tensor, replayed: Tensor) -> LossTerm:
    """Σ (V(x_t) − V_μ(x_t))² over replayed steps, V_μ without gradient.

    Args:
      values, behaviour_values: [T, B] of the present network and of the one that acted.
      valid: [T, B] bool; replayed: [B] bool. Elsewhere both values may be NaN, and the gradient to `values` is 0.

    Returns:
      Metric `value_drift_replayed`, the mean of |V − V_μ|.
    """
    assert values.shape == behaviour_values.shape == valid.shape, (values.shape, behaviour_values.shape, valid.shape)
    cloned = _cloned(valid, replayed)
    drift = torch.where(cloned, values - behaviour_values.detach(), 0.0)
    loss = drift.square().sum()
    return LossTerm(loss, count_valid(cloned, loss.dtype), {"value_drift_replayed": mean_valid(drift.abs(), cloned)})


def _cloned(valid: Tensor, replayed: Tensor) -> Tensor:
    """The steps that are cloned [T, B] bool."""
    assert replayed.shape == valid.shape[1:], (replayed.shape, valid.shape)
    assert replayed.dtype == torch.bool, replayed.dtype
    return valid & replayed
