"""The random policy: every action equally likely."""

import numpy as np

from rl_platform.core.distributions import distribution_of
from rl_platform.core.interfaces import PolicyStep
from rl_platform.core.spec import ActionSpec
from rl_platform.core.types import Weights


class UniformPolicy:
    """Draws actions whatever it sees; knows no weights.

    Choices are equally likely. Numbers are uniform between their bounds, and standard normal if they lack one.

    Its behaviour parameters are zeros: the distribution of its choices, but of numbers the standard normal one only.
    """

    version = 0

    def __init__(self, action: ActionSpec, seed: int):
        self._action = action
        self._num_params = distribution_of(action).num_params
        self._random = np.random.default_rng(seed)

    def load(self, weights: Weights) -> None:
        """There is nothing to load."""

    def initial_memory(self, num_envs: int) -> np.ndarray:
        """[N, 0]."""
        return np.zeros((num_envs, 0), np.float32)

    def act(
        self, observation: np.ndarray, is_first: np.ndarray, memory: np.ndarray, greedy: bool = False
    ) -> PolicyStep:
        """Actions [N] or [N, A]; there is no most probable one, so `greedy` changes nothing."""
        num_envs = len(observation)
        draw = {"categorical": self._choices, "gaussian": self._numbers}[self._action.kind]
        behaviour = np.zeros((num_envs, self._num_params), np.float32)
        return PolicyStep(draw(num_envs), behaviour, np.zeros((num_envs, 1), np.float32),
                          np.zeros((num_envs, 0), np.float16), memory)  # fmt: skip

    def _choices(self, num_envs: int) -> np.ndarray:
        """[N] int64."""
        return self._random.integers(self._action.size, size=num_envs)

    def _numbers(self, num_envs: int) -> np.ndarray:
        """[N, A] float32."""
        numbers = self._random.normal(size=(num_envs, self._action.size))
        if self._action.low is not None and self._action.high is not None:
            low, high = np.array(self._action.low), np.array(self._action.high)
            bounded = np.isfinite(low) & np.isfinite(high)
            numbers[:, bounded] = self._random.uniform(low[bounded], high[bounded], (num_envs, bounded.sum()))
        return numbers.astype(np.float32)
