"""A network that runs with weights which arrive from elsewhere."""

import copy

import numpy as np
import torch
from torch import Tensor, nn

from rl_platform.core.flat import FlatParameters
from rl_platform.core.types import Weights


class ActingNetwork:
    """An actor-critic for inference alone, without weights until `load`.

    Args:
      model: as `models.actor_critic.ActorCritic`, in float32; owned from here on.
      precision: the encoders' dtype. Weights are converted once a version, not once a call.
    """

    def __init__(self, model: nn.Module, *, precision: torch.dtype, device: torch.device | str = "cpu"):
        self.version = -1
        self.device = torch.device(device)
        self.memory_size: int = model.memory_size
        self._loaded = model.to(self.device).requires_grad_(False)
        self._flat = FlatParameters(self._loaded)
        self._acting = self._loaded if precision == torch.float32 else _converted(self._loaded, precision)

    def load(self, weights: Weights) -> None:
        """Take over new weights; does nothing when the version is the present one."""
        if weights.version == self.version:
            return
        self._flat.load(weights.vector)
        if self._acting is not self._loaded:
            for acting, loaded in zip(self._acting.parameters(), self._loaded.parameters(), strict=True):
                acting.copy_(loaded)
        self.version = weights.version

    def __call__(self, observation: Tensor, is_first: Tensor, memory: Tensor):
        """What the model says, of tensors on `device`."""
        return self._acting(observation, is_first, memory)

    def tensor(self, array: np.ndarray) -> Tensor:
        """On `device`; an array that PyTorch can use as it is (writable, without negative strides) is not copied."""
        return torch.from_numpy(np.require(array, requirements=["C", "W"])).to(self.device)


def _converted(model: nn.Module, precision: torch.dtype) -> nn.Module:
    """A copy with the encoders in `precision`; everything else stays in float32."""
    acting = copy.deepcopy(model)
    for encoder in (acting.encoder, acting.value_encoder):
        if encoder is not None:
            encoder.to(precision)
    return acting
