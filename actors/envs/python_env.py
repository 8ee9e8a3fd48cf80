"""Environments written in Python against gymnasium's interface, N copies in one process."""

from collections.abc import Callable
from contextlib import ExitStack

import gymnasium
import numpy as np

from actors.envs.gymnasium_spaces import action_spec, channels_first, played, shown_dtype, spaces_of
from actors.envs.seeds import checked_seeds
from actors.envs.single import SingleEnv
from rl_platform.core.interfaces import StepResult
from rl_platform.core.spec import EnvSpec


class PythonVectorEnv:
    """N copies of an environment, stepped one after the other; observations [N, …] float32 or uint8.

    Images (uint8 or bool [H, W, C], as gymnasium has them) are shown channels first, [N, C, H, W]. Actions are choices,
    or numbers that are clipped to the bounds of their space.

    An environment breaks when its `step` or `reset` raises, or returns an observation of another shape or dtype than
    its space's, a reward that is no number, or a value that is not finite. It is then closed, rebuilt with a new seed
    and started in the same call: that transition is not valid, its observation `is_first`, and `faults` has a line
    about it (the next step's, if it broke in this object's `reset`). RuntimeError if it cannot be started again in
    `actors.envs.single.MAX_TRIES` tries.

    Arguments:
      name: what the environment is called; the id where it has one.
      make: builds one.
      seeds: [N] int32.
      frame_skip: emulator frames that an env step of it is.
    """

    def __init__(self, *, name: str, make: Callable[[], gymnasium.Env], seeds: np.ndarray, frame_skip: int = 1):
        self.num_envs = len(checked_seeds(seeds))
        observation_space, self._action_space = spaces_of(name, make)
        dtype = shown_dtype(observation_space)
        self._played_shape = observation_space.shape
        self._axes = channels_first(observation_space.shape, dtype)
        self.spec = EnvSpec(
            name=name,
            observation_shape=tuple(observation_space.shape[axis] for axis in self._axes),
            observation_dtype=dtype,
            action=action_spec(self._action_space),
            frame_skip=frame_skip,
        )
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
        """Apply choices [N], 0 being the space's first, or numbers [N, A]. The arrays are new at every call."""
        out = self._blank_result()
        resets = self._ended.tolist()
        for index, choice in enumerate(played(action, self._action_space)):
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
        """The first environment as it looks now, [H, W, 3] uint8."""
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

    def _advance(self, index: int, choice: int | np.ndarray | None, out: StepResult) -> None:
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
