"""Atari games through EnvPool's C++ threads, which show the consoles' memory.

What EnvPool 1.2 does, seen on the real thing (tests/actors/envs/test_ale_envpool.py), and what is made of it here:

* A reset fills the stack with the first frame. ALE's vector environment, which `rl_platform.core.frames.stack_frames`
  follows, puts zeros before it: so does this one.
* A reset after the first goes on with the same random numbers: `reset()` here makes the environments anew.
* `noop_max` 0 divides by zero and kills the process: refused. Resets wait for 1 to `noop_max` frames, FIRE included.
* Frames are always the maximum of the last two emulator frames, and its time limit counts env steps.
* `lives` are those of the emulator; its own life-loss options end games, and stay off.
"""

from typing import Any

import numpy as np

from actors.envs.ale_settings import AleSettings
from actors.envs.pool import make_pool
from actors.envs.seeds import checked_seeds
from rl_platform.core.interfaces import StepResult


class AleEnvpoolVectorEnv:
    """N copies of one Atari game: arguments, frames and rules of `AleVectorEnv`, but other random numbers.

    Arguments: as for `AleVectorEnv`, but for
      noop_max: at least 1.
      maxpool: True.
      max_episode_frames: a multiple of `frame_skip`.
      room_byte: address in the console's 128 bytes of memory that holds the room; None: tell no rooms.
    """

    def __init__(self, *, seeds: np.ndarray, room_byte: int | None = None, **settings: Any):
        self.num_envs = len(checked_seeds(seeds))
        self._settings, self._room_byte = AleSettings(**settings), room_byte
        self._arguments = _arguments(self._settings, seeds)
        self._env = make_pool(**self._arguments)
        self._fresh = True
        self.spec = self._settings.spec(int(self._env.action_space.n))
        self._ended = np.zeros(self.num_envs, bool)
        self._age = np.zeros(self.num_envs, np.int64)  # env steps since each game began
        self._lives = np.zeros(self.num_envs, np.int32)

    def reset(self) -> np.ndarray:
        """Start every environment from its seed, so that the same actions give the same games; [N, …] uint8."""
        if not self._fresh:
            self._env = make_pool(**self._arguments)
        self._fresh = False
        observation, info = self._env.reset()
        self._ended, self._age, self._lives = np.zeros_like(self._ended), np.zeros_like(self._age), info["lives"]
        return self._padded(observation)

    def step(self, action: np.ndarray) -> StepResult:
        """Apply actions [N] int64. The arrays are new at every call; `episode_end` is the next call's `is_first`."""
        assert action.min() >= 0 and action.max() < self.spec.action.size, action
        observation, reward, terminated, truncated, info = self._env.step(action.astype(np.int32))
        is_first = self._ended
        self._ended = terminated | truncated
        self._age = np.where(is_first, 0, self._age + 1)
        if self._settings.life_loss_terminates:
            lives = info["lives"]
            terminated = terminated | ((lives < self._lives) & (lives > 0) & ~is_first)
            self._lives = lives
        room = None if self._room_byte is None else info["ram"][:, self._room_byte].astype(np.int64)
        return StepResult(
            self._padded(observation), reward, terminated, truncated, ~is_first, is_first, self._ended, room=room
        )

    def where(self) -> str:
        """The game; its environments are stepped together, so that no single one can be named."""
        return f"{self.num_envs} environments of ALE game {self.spec.name} in EnvPool"

    def close(self) -> None:
        """Free the emulators and join their threads; closing twice does nothing."""
        self._env = None

    def _padded(self, observation: np.ndarray) -> np.ndarray:
        """The stacks [N, S, H, W] with zeros for frames from before each game's first."""
        oldest = self.spec.frame_stack - 1 - self._age
        if (oldest > 0).any():
            observation = observation.copy()
            observation[np.arange(self.spec.frame_stack) < oldest[:, None]] = 0
        return observation


def _arguments(settings: AleSettings, seeds: np.ndarray) -> dict[str, Any]:
    """EnvPool's names for the settings. ValueError for those that it cannot have."""
    if settings.noop_max < 1:
        raise ValueError(f"noop_max must be at least 1 for EnvPool, got {settings.noop_max}")
    if not settings.maxpool or settings.max_episode_frames % settings.frame_skip:
        raise ValueError("EnvPool needs maxpool true and max_episode_frames in multiples of frame_skip")
    return {
        "task_id": "".join(word.capitalize() for word in settings.game.split("_")) + "-v5",
        "num_envs": len(seeds),
        "batch_size": len(seeds),
        "num_threads": min(settings.threads, len(seeds)),
        "env_seed": seeds.tolist(),
        "frame_skip": settings.frame_skip,
        "stack_num": settings.frame_stack,
        "img_height": settings.image_size,
        "img_width": settings.image_size,
        "noop_max": settings.noop_max,
        "use_fire_reset": settings.fire_reset,
        "repeat_action_probability": settings.sticky_actions,
        "full_action_space": settings.full_action_space,
        "max_episode_steps": settings.max_episode_frames // settings.frame_skip,
    }
