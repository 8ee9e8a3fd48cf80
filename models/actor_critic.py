"""The network that acts and is trained."""

from typing import NamedTuple

import torch
from torch import Tensor, nn


class ModelOutput(NamedTuple):
    """What the network says of T times and B columns."""

    params: Tensor
    """[T, B, P] float32: parameters of the action distribution."""
    values: Tensor
    """[T, B, H] float32."""
    embedding: Tensor
    """[T, B, E] float32: what both heads read."""
    memory: Tensor
    """[B, M] after the last time."""


class ActorCritic(nn.Module):
    """An encoder under a policy head and a value head.

    The encoder computes in the dtype of its weights, or in autocast's; the heads always in float32, so that logits
    and values have more than bfloat16's three digits.

    Args:
      encoder: [N, *observation] → [N, `embedding`].
      num_params: P, of the action distribution.
      num_value_heads: H.
    """

    memory_size = 0

    def __init__(self, encoder: nn.Module, num_params: int, num_value_heads: int = 1):
        super().__init__()
        self.encoder = encoder
        self.policy = _head(encoder.embedding, num_params, gain=0.01)
        self.value = _head(encoder.embedding, num_value_heads, gain=1.0)

    def forward(self, observation: Tensor, is_first: Tensor, memory: Tensor) -> ModelOutput:
        """observation [T, B, …], is_first [T, B] bool (memory restarts there), memory [B, M] before time 0."""
        embedding = self.encoder(observation.flatten(0, 1)).to(self.policy.weight.dtype)
        with torch.autocast(embedding.device.type, enabled=False):
            params, values = self.policy(embedding), self.value(embedding)
        shape = (*is_first.shape, -1)
        return ModelOutput(params.view(shape), values.view(shape), embedding.view(shape), memory)


def _head(inputs: int, outputs: int, *, gain: float) -> nn.Linear:
    """A small policy gain starts near the uniform policy (Andrychowicz et al. 2021, §3.2)."""
    head = nn.Linear(inputs, outputs)
    nn.init.orthogonal_(head.weight, gain)
    nn.init.zeros_(head.bias)
    return head
