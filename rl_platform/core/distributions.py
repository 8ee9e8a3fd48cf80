"""Action distributions, described by a flat parameter vector so that unrolls need not know their kind."""

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


def distribution_of(action: ActionSpec) -> ActionDistribution:
    """The distribution that fits an action space."""
    return Categorical(action.size)
