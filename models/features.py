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

_MAX_OBSERVATIONS = 256
"""Largest batch of one forward pass: stacking and activations stay in the cache."""


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


class CurrentFeatures:
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
        columns = max(1, _MAX_OBSERVATIONS // len(times))
        starts = range(0, len(steps.observation), columns)
        return np.concatenate([self._of(steps, slice(start, start + columns), times) for start in starts])

    def _of(self, steps: Trajectory, columns: slice, times: np.ndarray) -> np.ndarray:
        """Features of some columns [C′, K, F]."""
        observation = self._shown(steps.observation[columns], steps.is_first[columns], times)
        shape = observation.shape[:2]
        device = self._network.device
        nothing, memory = torch.zeros(shape, dtype=torch.bool, device=device), torch.zeros(shape[1], 0, device=device)
        embedding = self._network(observation, nothing, memory).embedding
        features = self._view(embedding.flatten(0, 1)).unflatten(0, shape)
        return features.transpose(0, 1).numpy(force=True)

    def _shown(self, observation: np.ndarray, is_first: np.ndarray, times: np.ndarray) -> Tensor:
        """What the model saw of columns [C′, T, …] at these times, time first [K, C′, …]."""
        until = times[-1] + 1
        shown = self._network.tensor(observation[:, : until + self._frame_stack - 1].swapaxes(0, 1))
        chosen = None if len(times) == until else torch.from_numpy(times).to(shown.device)
        if self._frame_stack == 1:
            return shown if chosen is None else shown[chosen]
        starts = self._network.tensor(is_first[:, :until].swapaxes(0, 1))
        return stack_frames(shown, starts, self._frame_stack, chosen)
