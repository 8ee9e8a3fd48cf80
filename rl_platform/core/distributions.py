"""Action distributions, described by a flat parameter vector so that unrolls need not know their kind."""

import math
from typing import Protocol

import torch
from torch import Tensor

from rl_platform.core.spec import ActionSpec


class ActionDistribution(Protocol):
    """A family of distributions over actions; methods take parameters [..., P] in float32."""

    num_params: int

    def sample(self, params: Tensor, generator: torch.Generator) -> Tensor: ...

    def mode(self, params: Tensor) -> Tensor: ...

    def log_prob(self, params: Tensor, action: Tensor) -> Tensor: ...

    def entropy(self, params: Tensor) -> Tensor: ...

    def kl(self, params: Tensor, other: Tensor) -> Tensor: ...


class Categorical:
    """Choices 0..size−1; the parameters are unnormalised log-probabilities."""

    def __init__(self, size: int):
        self.num_params = size

    def sample(self, params: Tensor, generator: torch.Generator) -> Tensor:
        """Actions [...] int64, drawn by the Gumbel-max rule."""
        uniform = torch.rand(params.shape, generator=generator, device=params.device)
        return (params - uniform.clamp_min(1e-20).log().neg().log()).argmax(-1)

    def mode(self, params: Tensor) -> Tensor:
        """The most probable action [...]."""
        return params.argmax(-1)

    def log_prob(self, params: Tensor, action: Tensor) -> Tensor:
        """log p(action) [...]."""
        return params.log_softmax(-1).gather(-1, action.unsqueeze(-1)).squeeze(-1)

    def entropy(self, params: Tensor) -> Tensor:
        """In nats [...]."""
        log_p = params.log_softmax(-1)
        return -(log_p.exp() * log_p).sum(-1)

    def kl(self, params: Tensor, other: Tensor) -> Tensor:
        """KL(params ‖ other) in nats [...]."""
        log_p, log_q = params.log_softmax(-1), other.log_softmax(-1)
        return (log_p.exp() * (log_p - log_q)).sum(-1)


LOG_STD_RANGE = (-5.0, 2.0)
"""Bounds of a Gaussian's log standard deviation: standard deviations of 0.0067 to 7.4."""
_LOG_SQRT_2PI = 0.5 * math.log(2 * math.pi)


class DiagonalGaussian:
    """`size` independent normal numbers; the parameters are A means, then A logarithms of standard deviations.

    The logarithms are clamped to `LOG_STD_RANGE` wherever they are read, so that no parameters make a density infinite
    or an action astronomic. Hard, not smoothly: inside the range a parameter means exactly what it says (0: standard
    deviation 1). Outside it has no gradient; `models.heads.GaussianHead` sees to it that none gets stuck there.

    An action is what was drawn, before an environment clips it to its bounds: its probability is that of the Gaussian.
    """

    def __init__(self, size: int):
        self.num_params = 2 * size

    def sample(self, params: Tensor, generator: torch.Generator) -> Tensor:
        """Actions [..., A]."""
        mean, log_std = _mean_and_log_std(params)
        noise = torch.randn(mean.shape, generator=generator, device=mean.device, dtype=mean.dtype)
        return mean + log_std.exp() * noise

    def mode(self, params: Tensor) -> Tensor:
        """The mean [..., A]."""
        return _mean_and_log_std(params)[0]

    def log_prob(self, params: Tensor, action: Tensor) -> Tensor:
        """log p(action) [...] of actions [..., A]: −Σ ½((a − μ)/σ)² + log σ + ½ log 2π."""
        mean, log_std = _mean_and_log_std(params)
        deviation = (action - mean) * (-log_std).exp()
        return -(0.5 * deviation.square() + log_std + _LOG_SQRT_2PI).sum(-1)

    def entropy(self, params: Tensor) -> Tensor:
        """Differential, in nats [...]: Σ log σ + ½ log 2πe. It may be negative."""
        _, log_std = _mean_and_log_std(params)
        return (log_std + _LOG_SQRT_2PI + 0.5).sum(-1)

    def kl(self, params: Tensor, other: Tensor) -> Tensor:
        """KL(params ‖ other) in nats [...]: ½ Σ σ²/s² − 1 − log σ²/s² + (μ − m)²/s², with m and s those of `other`."""
        (mean, log_std), (other_mean, other_log_std) = _mean_and_log_std(params), _mean_and_log_std(other)
        log_ratio = 2 * (log_std - other_log_std)
        distance = (mean - other_mean) * (-other_log_std).exp()
        # expm1: σ²/s² − 1 would lose the digits that matter where the two are nearly equal.
        return 0.5 * (log_ratio.expm1() - log_ratio + distance.square()).sum(-1)


def _mean_and_log_std(params: Tensor) -> tuple[Tensor, Tensor]:
    """Each [..., A]."""
    mean, log_std = params.chunk(2, dim=-1)
    return mean, log_std.clamp(*LOG_STD_RANGE)


def distribution_of(action: ActionSpec) -> ActionDistribution:
    """The distribution that fits an action space."""
    return {"categorical": Categorical, "gaussian": DiagonalGaussian}[action.kind](action.size)
