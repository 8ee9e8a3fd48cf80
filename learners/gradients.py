"""Operations on the flat gradient vector: every parameter's gradient, one after another in one block of memory."""

import torch
from torch import Tensor

from learners.ranks import Ranks


class GradientBlock:
    """What one update adds up over the ranks after the backward pass, in one block: one collective does it all.

    Args:
      parameters: the flat parameter vector [P], whose dtype and device the block has.
      num_metrics: M.
    """

    def __init__(self, parameters: Tensor, num_metrics: int):
        self._block = parameters.new_zeros(len(parameters) + num_metrics)
        self.main, self.metrics = self._block.split([len(parameters), num_metrics])
        """The main loss's gradient [P], and metrics [M] that are global once summed."""

    def clear(self) -> None:
        """All zeros: what a rank without a batch adds."""
        self._block.zero_()

    def sum_over(self, ranks: Ranks) -> None:
        """Add every rank's block, in place."""
        ranks.sum(self._block)


def clip_by_norm(gradient: Tensor, max_norm: float) -> Tensor:
    """Scale `gradient` [P] in place so that its Euclidean norm is at most `max_norm` > 0.

    Returns:
      The norm before clipping []. Where it is not finite the gradient is useless afterwards: skip the update.
    """
    assert max_norm > 0, max_norm
    norm = torch.linalg.vector_norm(gradient)
    gradient.mul_((max_norm / norm).clamp(max=1.0))  # a zero norm gives ∞, clamped to 1
    return norm
