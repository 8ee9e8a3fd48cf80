"""What turns embeddings into distribution parameters and values."""

from typing import Any, Literal

import torch
from torch import Tensor, nn

from rl_platform.core.distributions import LOG_STD_RANGE
from rl_platform.core.spec import ActionSpec

HeadKind = Literal["linear", "mlp", "residual"]
"""One layer; or two, the first as wide as the embedding, which for values may be a residual one.

lightning-rnd has `mlp` heads, rnd-repr `residual` ones; all their layers begin with the small gain, not the last alone.
"""

_GAIN = 0.01
"""Small: training starts near the uniform policy, or near mean 0 (Andrychowicz et al. 2021, §3.2)."""


def policy_head(inputs: int, action: ActionSpec, kind: HeadKind = "linear") -> nn.Module:
    """[N, inputs] → the parameters [N, P] of `rl_platform.core.distributions.distribution_of(action)`."""
    last = _linear(inputs, action.size) if action.kind == "categorical" else GaussianHead(inputs, action.size)
    return last if kind == "linear" else _two_layers(inputs, last)


def value_head(inputs: int, num_values: int, kind: HeadKind = "linear") -> nn.Module:
    """[N, inputs] → values [N, num_values], which share all layers but the last."""
    if kind == "linear":
        return _linear(inputs, num_values, gain=1.0)
    last = _linear(inputs, num_values)
    return nn.Sequential(ResidualLayer(inputs), last) if kind == "residual" else _two_layers(inputs, last)


class ResidualLayer(nn.Module):
    """x + ReLU(W x + b), W beginning with gain 0.1 (Burda et al. 2019)."""

    def __init__(self, size: int):
        super().__init__()
        self.linear = _linear(size, size, gain=0.1)

    def forward(self, x: Tensor) -> Tensor:
        """[N, size] → [N, size]."""
        return x + self.linear(x).relu_()


class GaussianHead(nn.Module):
    """Means that depend on the embedding, and standard deviations that do not, as in PPO (Schulman et al. 2017, §6.1).

    The standard deviations begin at 1.
    """

    def __init__(self, inputs: int, size: int):
        super().__init__()
        self.mean = _linear(inputs, size)
        self.log_std = nn.Parameter(torch.zeros(size))

    def forward(self, embedding: Tensor) -> Tensor:
        """[N, inputs] → [N, 2 · size]: means, then logarithms of standard deviations, within `LOG_STD_RANGE`."""
        mean = self.mean(embedding)
        log_std: Tensor = _ClampedLogStd.apply(self.log_std)
        return torch.cat([mean, log_std.expand_as(mean)], dim=-1)


def _two_layers(inputs: int, last: nn.Module) -> nn.Module:
    return nn.Sequential(_linear(inputs, inputs), nn.ReLU(inplace=True), last)


def _linear(inputs: int, outputs: int, *, gain: float = _GAIN) -> nn.Linear:
    """One layer with orthogonal weights and zero biases."""
    layer = nn.Linear(inputs, outputs)
    nn.init.orthogonal_(layer.weight, gain)
    nn.init.zeros_(layer.bias)
    return layer


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
