"""The network that acts and is trained."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from models.normalizer import ObservationNormalizer


class ModelOutput(NamedTuple):
    """What the network says of T times and B columns."""

    params: Tensor
    """[T, B, P] float32: parameters of the action distribution."""
    values: Tensor
    """[T, B, H] float32."""
    embedding: Tensor
    """[T, B, E] float32: what the policy head reads, and the value head too unless it has an encoder of its own."""
    memory: Tensor
    """[B, M] after the last time."""


class ActorCritic(nn.Module):
    """An encoder under a policy head and a value head, or one encoder under each.

    Encoders compute in the dtype of their weights, or in autocast's; the heads always in float32, so that distribution
    parameters and values have more than bfloat16's three digits.

    Args:
      encoder: [N, *observation] → [N, `embedding`].
      policy: [N, embedding] → [N, P].
      value: [N, embedding] → [N, H].
      value_encoder: the value head's own; None: it shares the policy's.
      normalizer: what observations go through first; None: they are used as they are.
    """

    memory_size = 0

    def __init__(self, encoder: nn.Module, policy: nn.Module, value: nn.Module, *,
                 value_encoder: nn.Module | None = None, normalizer: ObservationNormalizer | None = None):  # fmt: skip
        super().__init__()
        self.encoder = encoder
        self.policy = policy
        self.value = value
        self.value_encoder = value_encoder
        self.normalizer = normalizer

    def forward(self, observation: Tensor, is_first: Tensor, memory: Tensor) -> ModelOutput:
        """observation [T, B, …], is_first [T, B] bool (memory restarts there), memory [B, M] before time 0."""
        seen, dtype = observation.flatten(0, 1), next(self.value.parameters()).dtype
        if self.normalizer is not None:
            seen = self.normalizer(seen)
        embedding = self.encoder(seen).to(dtype)
        valued = embedding if self.value_encoder is None else self.value_encoder(seen).to(dtype)
        with torch.autocast(embedding.device.type, enabled=False):
            params, values = self.policy(embedding), self.value(valued)
        shape = (*is_first.shape, -1)
        return ModelOutput(params.view(shape), values.view(shape), embedding.view(shape), memory)
