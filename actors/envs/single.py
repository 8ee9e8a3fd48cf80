"""One gymnasium environment: what it returns is checked, and it can be replaced when it breaks."""

from collections.abc import Callable
from contextlib import suppress

import gymnasium
import numpy as np
from gymnasium.spaces import Box

from rl_platform.core.seeding import derive_seed

MAX_TRIES = 3
"""How often in a row an environment is built and reset anew before that counts as hopeless."""

_NUMBERS = (float, int, np.floating, np.integer)


class SingleEnv:
    """A gymnasium environment with a name for messages, and the seed that it starts from.

    `reset`, `next_episode` and `step` raise whatever the environment raises, and TypeError for an observation that is
    not an array of `space`'s shape and dtype or a reward that is no number. Whether the values are finite is for the
    caller to check, for many environments at once.
    """

    def __init__(self, name: str, make: Callable[[], gymnasium.Env], space: Box, seed: int):
        self._name, self._make = name, make
        self._shape, self._dtype = space.shape, space.dtype
        self._given_seed = self._seed = seed
        self._replacements = 0
        self._env = make()

    def reset(self) -> np.ndarray:
        """Start from the seed; returns the first observation."""
        observation, _ = self._env.reset(seed=self._seed)
        self._check_observation(observation)
        return observation

    def next_episode(self) -> np.ndarray:
        """Start another episode, with the random numbers that come next; returns the first observation."""
        observation, _ = self._env.reset()
        self._check_observation(observation)
        return observation

    def step(self, action: int | np.ndarray) -> tuple[np.ndarray, float, bool, bool]:
        """Observation, reward, terminated, truncated."""
        observation, reward, terminated, truncated, _ = self._env.step(action)
        self._check_observation(observation)
        if not isinstance(reward, _NUMBERS):
            raise TypeError(f"the reward must be a number, got {type(reward).__name__}")
        return observation, reward, terminated, truncated

    def replace(self) -> np.ndarray:
        """Close the environment, build it anew with a seed that it never had, and start it.

        Returns the first observation, which is finite; raises RuntimeError after `MAX_TRIES` failures.
        """
        failure: Exception | None = None
        for _ in range(MAX_TRIES):
            with suppress(Exception):  # it broke and was reported: that closing it fails as well adds nothing
                self._env.close()
            self._replacements += 1
            self._seed = derive_seed(self._given_seed, "replacement", self._replacements)
            try:
                self._env = self._make()
                return _finite(self.reset())
            except Exception as error:
                failure = error
        raise RuntimeError(f"{self._name} could not be replaced in {MAX_TRIES} tries: {failure!r}") from failure

    def render(self) -> np.ndarray:
        """As it looks now, [H, W, 3] uint8."""
        return self._env.render()

    def close(self) -> None:
        """Free what the environment holds."""
        self._env.close()

    def _check_observation(self, observation: np.ndarray) -> None:
        if not isinstance(observation, np.ndarray):
            raise TypeError(f"the observation must be an array, got {type(observation).__name__}")
        if observation.shape != self._shape or observation.dtype != self._dtype:
            raise TypeError(
                f"the observation must be {self._dtype} {self._shape}, got {observation.dtype} {observation.shape}"
            )


def _finite(observation: np.ndarray) -> np.ndarray:
    if not np.isfinite(observation).all():
        raise ValueError("the observation is not finite")
    return observation
