"""The random policy: every action equally likely."""

import numpy as np

from rl_platform.core.interfaces import PolicyStep
from rl_platform.core.types import Weights


class UniformPolicy:
    """Draws one of `num_actions` actions, whatever it sees; knows no weights."""

    version = 0

    def __init__(self, num_actions: int, seed: int):
        self._num_actions = num_actions
        self._random = np.random.default_rng(seed)

    def load(self, weights: Weights) -> None:
        """There is nothing to load."""

    def initial_memory(self, num_envs: int) -> np.ndarray:
        """[N, 0]."""
        return np.zeros((num_envs, 0), np.float32)

    def act(
        self, observation: np.ndarray, is_first: np.ndarray, memory: np.ndarray, greedy: bool = False
    ) -> PolicyStep:
        """Actions [N]; there is no most probable one, so `greedy` changes nothing."""
        num_envs = len(observation)
        action = self._random.integers(self._num_actions, size=num_envs)
        behaviour = np.zeros((num_envs, self._num_actions), np.float32)
        return PolicyStep(action, behaviour, np.zeros((num_envs, 1), np.float32), np.zeros((num_envs, 0), np.float16),
                          memory)  # fmt: skip
