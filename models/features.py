"""What replay sources compare: features of observations, small enough to be stored with each step."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from rl_platform.core.acting import ActingNetwork
from rl_platform.core.frames import stack_frames
from rl_platform.core.types import Trajectory, Weights

FeatureView = Callable[[Tensor], Tensor]
"""Embeddings [N, E] → features [N, F] float16."""

_MAX_OBSERVATIONS = 512
"""Largest batch of one forward pass, whose activations must fit in the cache or nearly."""


class Projection:
    """A fixed random projection of the trunk's activations: x R, R ~ N(0, 1/F).

    Distances survive it (Johnson and Lindenstrauss 1984: of 128 numbers, to about a tenth). R is in no loss and comes
    from the seed alone, so that it is the same in every process and in every launch of a run. (elite-vtrace means a
    linear layer of its network that no loss ever reaches, which is that.)
    """

    def __init__(self, embedding: int, size: int, *, seed: int, device: torch.device | str = "cpu"):
        generator = torch.Generator().manual_seed(seed)
        self._matrix = torch.randn(embedding, size, generator=generator).div_(size**0.5).to(device)

    def __call__(self, embedding: Tensor) -> Tensor:
        """[N, E] → [N, F] float16."""
        return (embedding @ self._matrix).half()


def trunk_activations(embedding: Tensor) -> Tensor:
    """The activations themselves [N, E], in float16."""
    return embedding.half()


class PresentFeatures:
    """Features of stored steps under weights that come with the question; a `replay.scoring.FeatureFn`.

    Args:
      network: of the acting kind, so that features under the weights that acted are those that were stored. Without
        memory: a step's features are taken to depend on its observation alone.
      frame_stack: S; observations of steps are single frames if it exceeds 1.
    """

    def __init__(self, network: ActingNetwork, view: FeatureView, *, frame_stack: int):
        assert network.memory_size == 0, "features of a network with memory depend on more than the observation"
        self._network, self._view, self._frame_stack = network, view, frame_stack

    @torch.inference_mode()
    def __call__(self, weights: Weights, steps: Trajectory, times: np.ndarray) -> np.ndarray:
        """Steps columns first [C, T, …], times [K] → [C, K, F] float16."""
        self._network.load(weights)
        observation = self._shown(steps, times)
        per_pass = max(1, _MAX_OBSERVATIONS // len(times))
        features = [self._of(part) for part in observation.split(per_pass, dim=1)]
        return torch.cat(features, dim=1).transpose(0, 1).cpu().numpy()

    def _shown(self, steps: Trajectory, times: np.ndarray) -> Tensor:
        """What the model saw at those times [K, C, …]."""
        observation = self._network.tensor(steps.observation.swapaxes(0, 1))
        if self._frame_stack > 1:
            is_first = self._network.tensor(steps.is_first.swapaxes(0, 1))
            observation = stack_frames(observation, is_first, self._frame_stack)
        return observation[torch.from_numpy(times)]

    def _of(self, observation: Tensor) -> Tensor:
        """[K, C, …] → [K, C, F]."""
        times, columns = observation.shape[:2]
        nothing = observation.new_zeros((times, columns), dtype=torch.bool)
        memory = observation.new_zeros((columns, 0), dtype=torch.float32)
        embedding = self._network(observation, nothing, memory).embedding
        return self._view(embedding.flatten(0, 1)).view(times, columns, -1)
