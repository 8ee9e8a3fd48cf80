"""Any registered gymnasium environment with discrete actions and array observations, N copies in one process."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete

from actors.envs.seeds import checked_seeds
from actors.envs.single import SingleEnv
from rl_platform.core.interfaces import StepResult
from rl_platform.core.spec import ActionSpec, EnvSpec


class GymnasiumVectorEnv:
    """N copies of a gymnasium environment, stepped one after the other; observations [N, …] float32 or uint8.

    Images (uint8 [H, W, C], as gymnasium has them) are shown channels first, [N, C, H, W].

    An environment breaks when its `step` or `reset` raises, or returns an observation of another shape or dtype than
    its space's, a reward that is no number, or a value that is not finite. It is then closed, rebuilt with a new seed
    and started in the same call: that transition is not valid, its observation `is_first`, and `faults` has a line
    about it (the next step's, if it broke in this object's `reset`). RuntimeError if it cannot be started again in
    `actors.envs.single.MAX_TRIES` tries.

    Arguments:
      env_id: a registered id, e.g. "CartPole-v1".
      seeds: [N] int32.
      max_episode_steps: an episode is truncated after this many steps; None: the id's own limit.
      kwargs: passed to the environment's constructor.
    """

    def __init__(
        self,
        *,
        env_id: str,
        seeds: np.ndarray,
        max_episode_steps: int | None = None,
        kwargs: Mapping[str, Any] | None = None,
    ):
        self.num_envs = len(checked_seeds(seeds))
        if max_episode_steps is not None and max_episode_steps < 1:
            raise ValueError(f"max_episode_steps must be at least 1, got {max_episode_steps}")
        make = partial(
            gymnasium.make, env_id, max_episode_steps=max_episode_steps, disable_env_checker=True, **(kwargs or {})
        )
        observation_space, action_space = _spaces(env_id, make)
        dtype = "uint8" if observation_space.dtype == np.uint8 else "float32"
        self._played_shape = observation_space.shape
        self._axes = _channels_first(observation_space.shape, dtype)
        self.spec = EnvSpec(
            name=env_id,
            observation_shape=tuple(observation_space.shape[axis] for axis in self._axes),
            observation_dtype=dtype,
            action=ActionSpec("categorical", int(action_space.n)),
        )
        self._first_action = int(action_space.start)
        self._envs = [
            SingleEnv(self._name(index), make, observation_space, seed) for index, seed in enumerate(seeds.tolist())
        ]
        self._current = 0
        self._faults: list[str] = []
        self._ended = np.zeros(self.num_envs, dtype=bool)

    def reset(self) -> np.ndarray:
        """Start every environment from its seed, so that the same actions give the same episodes; [N, …]."""
        self._ended = np.zeros(self.num_envs, dtype=bool)
        out = self._blank_result()
        for index, env in enumerate(self._envs):
            self._current = index
            try:
                out.observation[index] = env.reset()
            except Exception as error:
                self._replace(index, error, out)
        self._replace_non_finite(out)
        return self._shown(out.observation)

    def step(self, action: np.ndarray) -> StepResult:
        """Apply actions [N], 0 being the space's first. The arrays are new at every call."""
        assert action.min() >= 0 and action.max() < self.spec.action.size, action
        out = self._blank_result()
        resets = self._ended.tolist()
        for index, choice in enumerate((action + self._first_action).tolist()):
            self._current = index
            try:
                self._advance(index, None if resets[index] else choice, out)
            except Exception as error:
                self._replace(index, error, out)
        self._replace_non_finite(out)
        self._ended = out.terminated | out.truncated
        faults, self._faults = tuple(self._faults), []
        observation = self._shown(out.observation)
        return out._replace(observation=observation, valid=~out.is_first, episode_end=self._ended, faults=faults)

    def where(self) -> str:
        """The environment that is being stepped, or was stepped last."""
        return self._name(self._current)

    def render(self) -> np.ndarray:
        """The first environment as it looks now, [H, W, 3] uint8 (built with render_mode rgb_array)."""
        return self._envs[0].render()

    def close(self) -> None:
        """Close every environment; closing twice does nothing."""
        envs, self._envs = self._envs, []
        with ExitStack() as stack:  # closes the others too when one raises
            for env in envs:
                stack.callback(env.close)

    def _name(self, index: int) -> str:
        return f"environment {index} of {self.num_envs} ({self.spec.name})"

    def _shown(self, played: np.ndarray) -> np.ndarray:
        """What the model sees of what the environments returned [N, …]: a view."""
        return played.transpose(0, *(axis + 1 for axis in self._axes))

    def _blank_result(self) -> StepResult:
        """A result to be filled in place; `valid` and `episode_end` follow from the rest when it is complete."""
        observation = np.zeros((self.num_envs, *self._played_shape), dtype=self.spec.observation_dtype)
        reward, no = np.zeros(self.num_envs, dtype=np.float32), np.zeros(self.num_envs, dtype=bool)
        return StepResult(observation, reward, no, no.copy(), no, self._ended.copy(), no)

    def _advance(self, index: int, choice: int | None, out: StepResult) -> None:
        """Step one environment, or start its next episode if there is no action."""
        if choice is None:
            out.observation[index] = self._envs[index].next_episode()
            return
        observation, out.reward[index], out.terminated[index], out.truncated[index] = self._envs[index].step(choice)
        out.observation[index] = observation

    def _replace(self, index: int, error: Exception, out: StepResult) -> None:
        """Start an environment anew, whatever it did before in this call, and note why."""
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        self._faults.append(f"{self._name(index)} was replaced: {reason}")
        out.observation[index] = self._envs[index].replace()
        out.reward[index] = 0.0
        out.terminated[index] = out.truncated[index] = False
        out.is_first[index] = True

    def _replace_non_finite(self, out: StepResult) -> None:
        finite = np.isfinite(out.reward)
        if out.observation.dtype == np.float32:
            finite &= np.isfinite(out.observation).reshape(self.num_envs, -1).all(axis=1)
        for index in np.flatnonzero(~finite).tolist():
            self._current = index
            self._replace(index, ValueError("an observation or a reward is not finite"), out)


def _spaces(env_id: str, make: Callable[[], gymnasium.Env]) -> tuple[Box, Discrete]:
    """The spaces of an environment; ValueError if it cannot be built or is of a kind that is not supported."""
    if ":" in env_id:
        raise ValueError(f"{env_id!r} names a module to import; give the registered id alone")
    try:
        env = make()
    except (gymnasium.error.Error, TypeError) as error:
        raise ValueError(f"gymnasium cannot build {env_id!r}: {error}") from error
    observation_space, action_space = env.observation_space, env.action_space
    env.close()
    if not isinstance(action_space, Discrete):
        raise ValueError(f"{env_id!r} has the action space {action_space}; only Discrete is supported")
    is_array = isinstance(observation_space, Box)
    if not is_array or not (observation_space.dtype == np.uint8 or observation_space.dtype.kind == "f"):
        raise ValueError(f"{env_id!r} has the observation space {observation_space}; only Box of floats or uint8 is")
    return observation_space, action_space


def _channels_first(shape: tuple[int, ...], dtype: str) -> tuple[int, ...]:
    """The order in which axes are shown: images [H, W, C] as [C, H, W]. With fewer rows than channels they are that."""
    is_image = len(shape) == 3 and dtype == "uint8"
    return (2, 0, 1) if is_image and shape[2] <= shape[0] else tuple(range(len(shape)))


class GymnasiumScreen:
    """Shows the first environment, which must have been built with render_mode rgb_array."""

    def __init__(self, env: GymnasiumVectorEnv):
        self._env = env

    def picture(self) -> np.ndarray:
        """[H, W, 3] uint8."""
        return self._env.render()

    def step(self, action: np.ndarray) -> None:
        """The environment itself is shown: there is nothing to follow."""
