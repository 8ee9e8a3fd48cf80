"""What turns embeddings into distribution parameters and values."""

from typing import Any

import torch
from torch import Tensor, nn

from rl_platform.core.distributions import LOG_STD_RANGE
from rl_platform.core.spec import ActionSpec

_POLICY_GAIN = 0.01
"""Small: training starts near the uniform policy, or near mean 0 (Andrychowicz et al. 2021, §3.2)."""


def linear_head(inputs: int, outputs: int, *, gain: float) -> nn.Linear:
    """One layer with orthogonal weights and zero biases."""
    head = nn.Linear(inputs, outputs)
    nn.init.orthogonal_(head.weight, gain)
    nn.init.zeros_(head.bias)
    return head


def policy_head(inputs: int, action: ActionSpec) -> nn.Module:
    """[N, inputs] → the parameters [N, P] of `rl_platform.core.distributions.distribution_of(action)`."""
    if action.kind == "categorical":
        return linear_head(inputs, action.size, gain=_POLICY_GAIN)
    return GaussianHead(inputs, action.size)


class GaussianHead(nn.Module):
    """Means that depend on the embedding, and standard deviations that do not, as in PPO (Schulman et al. 2017, §6.1).

    The standard deviations begin at 1.
    """

    def __init__(self, inputs: int, size: int):
        super().__init__()
        self.mean = linear_head(inputs, size, gain=_POLICY_GAIN)
        self.log_std = nn.Parameter(torch.zeros(size))

    def forward(self, embedding: Tensor) -> Tensor:
        """[N, inputs] → [N, 2 · size]: means, then logarithms of standard deviations, within `LOG_STD_RANGE`."""
        mean = self.mean(embedding)
        log_std: Tensor = _ClampedLogStd.apply(self.log_std)
        return torch.cat([mean, log_std.expand_as(mean)], dim=-1)


class _ClampedLogStd(torch.autograd.Function):
    """Clamps to `LOG_STD_RANGE`, with a gradient that lets a parameter outside move back in, and no further out.

    The gradient of torch.clamp is 0 outside: what one step of the optimiser carried over the edge would stay there.
    """

    @staticmethod
    def forward(ctx: Any, log_std: Tensor) -> Tensor:
        ctx.save_for_backward(log_std)
        return log_std.clamp(*LOG_STD_RANGE)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (log_std,) = ctx.saved_tensors
        lowest, highest = LOG_STD_RANGE
        moves_out = ((log_std > highest) & (gradient < 0)) | ((log_std < lowest) & (gradient > 0))
        return gradient.masked_fill(moves_out, 0.0)
