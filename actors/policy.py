"""The policy of a rollout worker: NumPy in, NumPy out, a PyTorch network between."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from rl_platform.core.acting import ActingNetwork
from rl_platform.core.distributions import ActionDistribution
from rl_platform.core.interfaces import PolicyStep
from rl_platform.core.types import Weights


class TorchPolicy:
    """Acts with a network, whose weights it receives.

    Args:
      model, precision, device: see `core.acting.ActingNetwork`.
      generator: of sampled actions, on `device`.
      features: from embeddings [N, E] to what unrolls keep of them [N, F]; None: nothing.
    """

    def __init__(self, model: nn.Module, distribution: ActionDistribution, generator: torch.Generator, *,
                 precision: torch.dtype, device: torch.device | str = "cpu",
                 features: Callable[[Tensor], Tensor] | None = None):  # fmt: skip
        self._network = ActingNetwork(model, precision=precision, device=device)
        self._distribution = distribution
        self._generator = generator
        self._features = features or _nothing

    @property
    def version(self) -> int:
        """Of the present weights; −1: none yet."""
        return self._network.version

    def load(self, weights: Weights) -> None:
        """Take over new weights; does nothing when the version is the present one."""
        self._network.load(weights)

    def initial_memory(self, num_envs: int) -> np.ndarray:
        """[N, M] float32 zeros."""
        return np.zeros((num_envs, self._network.memory_size), np.float32)

    @torch.inference_mode()
    def act(
        self, observation: np.ndarray, is_first: np.ndarray, memory: np.ndarray, greedy: bool = False
    ) -> PolicyStep:
        """Actions for observation [N, …], is_first [N], memory [N, M]: sampled, or the most probable if `greedy`."""
        tensor = self._network.tensor
        output = self._network(tensor(observation)[None], tensor(is_first)[None], tensor(memory))
        params, values = output.params[0], output.values[0]
        action = self._distribution.mode(params) if greedy else self._distribution.sample(params, self._generator)
        features = self._features(output.embedding[0])
        # A copy: a network without memory hands on what it was given, and views of views would keep every step alive.
        memory = np.array(output.memory.numpy(force=True))
        return PolicyStep(*(array.numpy(force=True) for array in (action, params, values, features)), memory)


def _nothing(embedding: Tensor) -> Tensor:
    """[N, E] → [N, 0]."""
    return embedding[:, :0].half()
