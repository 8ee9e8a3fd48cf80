"""What return estimators share: the backward recursion and the check of their arguments."""

import torch
from torch import Tensor


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
