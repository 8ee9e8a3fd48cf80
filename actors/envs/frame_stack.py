"""The latest frames together, for environments that show one at a time."""

from dataclasses import replace

import numpy as np

from actors.envs.python_env import PythonVectorEnv
from rl_platform.core.interfaces import StepResult


class FrameStacked:
    """Shows the latest S frames [N, S, H, W], oldest first, of environments that show single ones [N, H, W].

    At an episode's start the frames before the first one are zero, as `rl_platform.core.frames.stack_frames` has it.
    """

    def __init__(self, env: PythonVectorEnv, frame_stack: int):
        if frame_stack < 1:
            raise ValueError(f"frame_stack must be at least 1, got {frame_stack}")
        self._env = env
        self.num_envs = env.num_envs
        shape = (frame_stack, *env.spec.observation_shape)
        self.spec = replace(env.spec, observation_shape=shape, frame_stack=frame_stack)
        self._frames = np.zeros((env.num_envs, *shape), env.spec.observation_dtype)

    def reset(self) -> np.ndarray:
        """Start every environment from its seed; [N, S, H, W]."""
        return self._stacked(self._env.reset(), np.ones(self.num_envs, bool))

    def step(self, action: np.ndarray) -> StepResult:
        """Apply actions. The arrays are new at every call."""
        result = self._env.step(action)
        return result._replace(observation=self._stacked(result.observation, result.is_first))

    def where(self) -> str:
        """The environment that is being stepped, or was stepped last."""
        return self._env.where()

    def render(self) -> np.ndarray:
        """The first environment as it looks now, [H, W, 3] uint8."""
        return self._env.render()

    def close(self) -> None:
        """Close every environment; closing twice does nothing."""
        self._env.close()

    def _stacked(self, frame: np.ndarray, is_first: np.ndarray) -> np.ndarray:
        """[N, S, H, W] with the newest frame [N, H, W], a new array."""
        frames = np.empty_like(self._frames)
        frames[:, :-1] = self._frames[:, 1:]
        frames[is_first] = 0
        frames[:, -1] = frame
        self._frames = frames
        return frames
