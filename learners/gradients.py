"""Operations on the flat gradient vector: every parameter's gradient, one after another in one block of memory."""

import torch
from torch import Tensor


def clip_by_norm(gradient: Tensor, max_norm: float) -> Tensor:
    """Scale `gradient` [P] in place so that its Euclidean norm is at most `max_norm` > 0.

    Returns:
      The norm before clipping []. Where it is not finite the gradient is useless afterwards: skip the update.
    """
    assert max_norm > 0, max_norm
    norm = torch.linalg.vector_norm(gradient)
    gradient.mul_((max_norm / norm).clamp(max=1.0))  # a zero norm gives ∞, clamped to 1
    return norm
