"""Generalised advantage estimation, and what return estimators share: the recursion and the check of arguments."""

from typing import NamedTuple

import torch
from torch import Tensor


class Returns(NamedTuple):
    """Both [T, B], without gradient."""

    targets: Tensor
    """What the value at time t is trained towards; the value itself at invalid steps."""
    advantages: Tensor
    """0 at invalid steps."""


@torch.no_grad()
def gae(
    *, rewards: Tensor, values: Tensor, discounts: Tensor, valid: Tensor | None = None, trace_decay: float
) -> Returns:
    """Generalised advantage estimates of B columns of T steps (Schulman et al. 2016, eq. 16).

        δ_t = r_t + γ_t V(x_{t+1}) − V(x_t)
        A_t = δ_t + γ_t λ A_{t+1},  A_T = 0
        targets_t = V(x_t) + A_t
    At an invalid step (a transition that only reset the environment) A = 0, so the truncated step before it bootstraps
    from the value of the episode's true last observation. Equals the corrections of V-trace with π = μ.

    Args:
      rewards: [T, B] what action t earned.
      values: [T+1, B] V(x_t); the last row only bootstraps.
      discounts: [T, B] γ, 0 at terminated steps.
      valid: [T, B] bool, None for all. Where False rewards and discounts are ignored (they may be NaN), values are not.
      trace_decay: λ; 0 for one-step returns, 1 for returns to the end of the unroll.

    Raises:
      ValueError: a shape or dtype does not fit.
    """
    check_time_major(values=values, valid=valid, rewards=rewards, discounts=discounts)
    deltas = rewards + discounts * values[1:] - values[:-1]
    if valid is not None:
        deltas, discounts = torch.where(valid, deltas, 0.0), torch.where(valid, discounts, 0.0)
    advantages = backward_scan(deltas, discounts * trace_decay)
    return Returns(values[:-1] + advantages, advantages)


def backward_scan(increments: Tensor, decays: Tensor) -> Tensor:
    """y_t = increments_t + decays_t · y_{t+1} with y_T = 0.

    Args:
      increments, decays: [T, B], T ≥ 1.

    Returns:
      y [T, B]. Not differentiable: rows are updated in place, one fused call a step.
    """
    result = increments.detach().clone()
    rows, decay_rows = result.unbind(), decays.detach().unbind()
    for t in range(len(rows) - 2, -1, -1):
        rows[t].addcmul_(decay_rows[t], rows[t + 1])
    return result


def check_time_major(*, values: Tensor, valid: Tensor | None = None, **per_step: Tensor) -> None:
    """Raise `ValueError` unless `values` is [T+1, B] and the rest [T, B], T ≥ 1, all of one dtype, float32 or float64.

    `valid` is bool. Half precision is refused because a return sums many small terms.
    """
    if values.ndim != 2 or values.shape[0] < 2:
        raise ValueError(f"values must be [T+1, B] with T ≥ 1 (the last row bootstraps), not {list(values.shape)}")
    if values.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"values must be float32 or float64, not {values.dtype}: convert them with .float()")
    expected = (values.shape[0] - 1, values.shape[1])
    for name, tensor in per_step.items():
        if tensor.shape != expected or tensor.dtype != values.dtype:
            raise ValueError(f"{name} must be {list(expected)} {values.dtype}, not {list(tensor.shape)} {tensor.dtype}")
    if valid is not None and (valid.shape != expected or valid.dtype != torch.bool):
        raise ValueError(f"valid must be {list(expected)} torch.bool, not {list(valid.shape)} {valid.dtype}")
