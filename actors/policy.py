"""The policy of a rollout worker: NumPy in, NumPy out, a PyTorch network between."""

import copy
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from rl_platform.core.distributions import ActionDistribution
from rl_platform.core.flat import FlatParameters
from rl_platform.core.interfaces import PolicyStep
from rl_platform.core.types import Weights


class TorchPolicy:
    """Acts with a network, whose weights it receives.

    Args:
      model: as `models.actor_critic.ActorCritic`, in float32; owned from here on.
      generator: of sampled actions, on `device`.
      precision: the encoder's dtype. Weights are converted once a version, not once a call.
      features: from embeddings [N, E] to what unrolls keep of them [N, F]; None: nothing.
    """

    def __init__(self, model: nn.Module, distribution: ActionDistribution, generator: torch.Generator, *,
                 precision: torch.dtype, device: torch.device | str = "cpu",
                 features: Callable[[Tensor], Tensor] | None = None):  # fmt: skip
        self.version = -1
        self._device = torch.device(device)
        self._model = model.to(self._device).requires_grad_(False)
        self._flat = FlatParameters(self._model)
        self._acting = self._model if precision == torch.float32 else _converted(self._model, precision)
        self._distribution = distribution
        self._generator = generator
        self._features = features or _nothing

    def load(self, weights: Weights) -> None:
        """Take over new weights; does nothing when the version is the present one."""
        if weights.version == self.version:
            return
        self._flat.load(weights.vector)
        if self._acting is not self._model:
            for acting, loaded in zip(self._acting.parameters(), self._model.parameters(), strict=True):
                acting.copy_(loaded)
        self.version = weights.version

    def initial_memory(self, num_envs: int) -> np.ndarray:
        """[N, M] float32 zeros."""
        return np.zeros((num_envs, self._model.memory_size), np.float32)

    @torch.inference_mode()
    def act(
        self, observation: np.ndarray, is_first: np.ndarray, memory: np.ndarray, greedy: bool = False
    ) -> PolicyStep:
        """Actions for observation [N, …], is_first [N], memory [N, M]: sampled, or the most probable if `greedy`."""
        output = self._acting(self._tensor(observation)[None], self._tensor(is_first)[None], self._tensor(memory))
        params, values = output.params[0], output.values[0]
        action = self._distribution.mode(params) if greedy else self._distribution.sample(params, self._generator)
        features = self._features(output.embedding[0])
        return PolicyStep(*(tensor.cpu().numpy() for tensor in (action, params, values, features, output.memory)))

    def _tensor(self, array: np.ndarray) -> Tensor:
        # PyTorch wants writable memory without negative strides; an array that has it is not copied.
        return torch.from_numpy(np.require(array, requirements=["C", "W"])).to(self._device)


def _nothing(embedding: Tensor) -> Tensor:
    """[N, E] → [N, 0]."""
    return embedding[:, :0].half()


def _converted(model: nn.Module, precision: torch.dtype) -> nn.Module:
    """A copy with the encoder in `precision`; the heads stay in float32."""
    acting = copy.deepcopy(model)
    acting.encoder.to(precision)
    return acting
