"""The value term."""

import torch
from torch import Tensor

from learners.losses.term import LossTerm, count_valid, mean_valid


def value_loss(*, values: Tensor, targets: Tensor, valid: Tensor) -> LossTerm:
    """Σ ½ (v_t − V(x_t))² over valid steps, v without gradient.

    Args:
      values: [T, B] V(x_t): without the bootstrap row.
      targets: [T, B] v_t.
      valid: [T, B] bool; elsewhere both may be NaN, and the gradient to `values` is 0.
    """
    assert values.shape == targets.shape == valid.shape, (values.shape, targets.shape, valid.shape)
    targets = targets.detach()
    errors = torch.where(valid, targets - values, 0.0)
    loss = 0.5 * errors.square().sum()
    metrics = {"explained_variance": _explained_variance(errors, targets, valid)}
    return LossTerm(loss, count_valid(valid, loss.dtype), metrics)


@torch.no_grad()
def _explained_variance(errors: Tensor, targets: Tensor, valid: Tensor) -> Tensor:
    """1 − Var(v − V) / Var(v) over valid steps [], cut off below at −1."""
    unexplained = _variance(errors, valid) / _variance(targets, valid).clamp_min(1e-8)
    return (1 - unexplained).clamp_min(-1)


def _variance(per_step: Tensor, valid: Tensor) -> Tensor:
    """Variance over valid steps []."""
    return mean_valid((per_step - mean_valid(per_step, valid)).square(), valid)
