"""Super Mario Bros. on the NES emulator of nes-py.

What gym-super-mario-bros 7.4.0 on nes-py 8.2.1 does, seen on the real thing (tests/actors/envs/test_mario.py), and
what is made of it here:

* Both speak the interface of the old package `gym`, whose registry and checker fail on later NumPy: the emulator's
  class is used directly, and of `gym` nothing but what it imports.
* Under NumPy 2 their arithmetic on single bytes overflows: the extra `mario` asks for NumPy 1.
* A frame's reward is the pixels moved to the right, less the ticks of the clock, less 25 for dying, within ±15.
* A game is three lives, a game of one stage ends with the life or at the flag. Scenes without play between them are
  skipped, and their frames not counted.
* The emulator knows no chance: without sticky actions, the same actions give the same game whatever the seed.
* The screen is a view of the emulator's memory: what must last is copied.
"""

import io
from contextlib import redirect_stderr
from functools import partial
from typing import TYPE_CHECKING

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete

from actors.envs.pixels import grey, square
from actors.envs.python_env import PythonVectorEnv
from configs.mario_games import MARIO_GAMES

if TYPE_CHECKING:
    from gym_super_mario_bros import SuperMarioBrosEnv

_A, _B, _UP, _DOWN, _LEFT, _RIGHT = 1, 2, 16, 32, 64, 128
BUTTONS = (
    0, _RIGHT, _RIGHT | _A, _RIGHT | _B, _RIGHT | _A | _B, _A,
    _LEFT, _LEFT | _A, _LEFT | _B, _LEFT | _A | _B, _DOWN, _UP,
)  # fmt: skip
"""The buttons that each of the twelve actions holds down: gym-super-mario-bros's COMPLEX_MOVEMENT."""


class MarioVectorEnv(PythonVectorEnv):
    """N copies of a game; observations [N, image_size, image_size] uint8: single grey frames.

    Arguments:
      env_id: e.g. "SuperMarioBros-v0", a whole game, or "SuperMarioBros-1-2-v0", one stage of it.
      seeds: [N] int32; they decide about sticky actions alone.
      frame_skip: emulator frames for which an action is repeated; an env step is this many frames.
      image_size: height and width of the frames, each the pixel-wise maximum of a step's last two.
      sticky_actions: probability, each frame, that the buttons of the frame before stay down.
      max_episode_frames: a game is truncated after this many emulator frames.
    """

    def __init__(self, *, env_id: str, seeds: np.ndarray, frame_skip: int = 4, image_size: int = 84,
                 sticky_actions: float = 0.0, max_episode_frames: int = 18_000):  # fmt: skip
        if not 0.0 <= sticky_actions <= 1.0:
            raise ValueError(f"sticky_actions is a probability, got {sticky_actions}")
        if min(frame_skip, image_size, max_episode_frames) < 1:
            raise ValueError("frame_skip, image_size and max_episode_frames must be at least 1")
        make = partial(Mario, env_id, frame_skip, image_size, sticky_actions, max_episode_frames)
        super().__init__(name=env_id, make=make, seeds=seeds, frame_skip=frame_skip)


class Mario(gymnasium.Env):
    """One game; arguments as above."""

    def __init__(self, env_id: str, frame_skip: int, image_size: int, sticky_actions: float, max_episode_frames: int):
        self.observation_space = Box(0, 255, (image_size, image_size), np.uint8)
        self.action_space = Discrete(len(BUTTONS))
        self._emulator = _emulator(env_id)
        self._frame_skip, self._image_size = frame_skip, image_size
        self._sticky_actions, self._max_frames = sticky_actions, max_episode_frames
        self._frames = self._held = 0

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[np.ndarray, dict]:
        """Begin a game; [image_size, image_size] uint8."""
        super().reset(seed=seed)
        self._frames = self._held = 0
        return square(grey(self._emulator.reset()), self._image_size), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        """Repeat an action for `frame_skip` frames, or until the game or its time is over."""
        reward, before = 0.0, None
        for left in range(self._frame_skip - 1, -1, -1):
            earned, over = self._advance(BUTTONS[action])
            reward += earned
            late = self._frames >= self._max_frames
            if over or late:
                break
            if left == 1:
                before = grey(self._emulator.screen)
        newest = grey(self._emulator.screen)
        shown = newest if before is None else np.maximum(before, newest)
        return square(shown, self._image_size), reward, over, late and not over, {}

    def render(self) -> np.ndarray:
        """The screen as it is now, [240, 256, 3] uint8."""
        return self._emulator.screen.copy()

    def close(self) -> None:
        """Free the emulator."""
        self._emulator.close()

    def _advance(self, buttons: int) -> tuple[float, bool]:
        """One frame: what it earned, and whether the game is over."""
        if self.np_random.random() >= self._sticky_actions:
            self._held = buttons
        self._frames += 1
        _, reward, over, _ = self._emulator.step(self._held)
        return reward, over


def _emulator(env_id: str) -> "SuperMarioBrosEnv":
    with redirect_stderr(io.StringIO()):  # `gym` tells everyone who imports it that it is old
        from gym_super_mario_bros import SuperMarioBrosEnv
    return SuperMarioBrosEnv(**MARIO_GAMES[env_id]._asdict())
