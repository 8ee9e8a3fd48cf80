"""What every loss returns, and masked reductions."""

from typing import NamedTuple

import torch
from torch import Tensor


class LossTerm(NamedTuple):
    """One term of the objective before its coefficient and reduction: the caller uses `sum`, or `sum / count`.

    The count is returned apart so that it can be added over learner ranks before the division.
    """

    sum: Tensor
    """[] differentiable, to be minimised."""
    count: Tensor
    """[] number of steps in the sum, in its dtype."""
    metrics: dict[str, Tensor]
    """[] each, without gradient."""


def count_valid(valid: Tensor, dtype: torch.dtype) -> Tensor:
    """Number of valid steps [] as a float."""
    return valid.sum(dtype=dtype)


@torch.no_grad()
def mean_valid(per_step: Tensor, valid: Tensor) -> Tensor:
    """Mean over valid steps [], without gradient; 0 where there are none."""
    return torch.where(valid, per_step, 0.0).sum() / valid.sum().clamp_min(1)
