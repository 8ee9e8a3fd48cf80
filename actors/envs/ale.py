"""Atari games through ALE's C++ vector environment.

What ale-py 0.12.1 does, seen on the real thing (tests/actors/envs/test_ale*.py), and what is made of it here:

* `reward_clipping=True`, `num_threads=0` (every core) and seeds drawn at random are its defaults: all are overridden.
* `episodic_life=True` restarts the whole game at a life loss, and `life_loss_info=True` reports a life loss at
  the time limit as terminated alone, though it resets. Neither is used: life losses are read off `info["lives"]`.
* An action out of range kills the step in a C++ thread, and the call never returns: actions are checked first.
* A reset presses FIRE for one frame if asked (and the game has it), then NOOP up to a total of `noop_max` − 1
  frames, so 0..29 frames for 30 where the Gym wrappers take 1..30. The time limit counts none of them.
* FIRE is pressed at resets only: after a life loss the agent has to serve by itself, and sticky actions may
  swallow the FIRE of a reset. Seeds such as 1, 2, 3 make that happen to all environments alike: pass derived ones.
* A reset clears the stack to zeros and adds the first frame: `rl_platform.core.frames.stack_frames` rebuilds it.
* The frame at which a game ends is not captured; the last observation shows the frames before it.
* Building an environment takes 70 ms of one core and starting it from a seed as long again: both load the ROM, and
  ALE then computes a table of blended colours. The constructor builds them one after another and holds the GIL all
  the while, however many threads there are; only the seeded start uses them. A reset between games takes 4 ms.
* Every call allocates new arrays and hands them over; freeing the interface joins its threads, `close()` does not.
"""

from typing import Any

import numpy as np
from ale_py.vector_env import AtariVectorEnv

from actors.envs.ale_settings import AleSettings
from actors.envs.seeds import checked_seeds
from rl_platform.core.interfaces import StepResult


class AleVectorEnv:
    """N copies of one Atari game: grey frames, [N, frame_stack, image_size, image_size] uint8, oldest frame first.

    Arguments: those of `AleSettings`, and
      seeds: [N] int32. Without sticky actions a seed decides only how many no-ops follow each reset.
    """

    def __init__(self, *, seeds: np.ndarray, **settings: Any):
        self._seeds, self._settings = checked_seeds(seeds), AleSettings(**settings)
        self.num_envs = len(self._seeds)
        self._env = self._made(self._settings)
        self.spec = self._settings.spec(int(self._env.single_action_space.n))
        self._ended = np.zeros(self.num_envs, dtype=bool)
        self._lives = np.zeros(self.num_envs, dtype=np.int32)

    def _made(self, settings: AleSettings) -> AtariVectorEnv:
        return AtariVectorEnv(
            settings.game,
            self.num_envs,
            num_threads=settings.threads,
            max_num_frames_per_episode=settings.max_episode_frames,
            repeat_action_probability=settings.sticky_actions,
            full_action_space=settings.full_action_space,
            img_height=settings.image_size,
            img_width=settings.image_size,
            stack_num=settings.frame_stack,
            frameskip=settings.frame_skip,
            maxpool=settings.maxpool,
            noop_max=settings.noop_max,
            reward_clipping=False,
            use_fire_reset=settings.fire_reset,
        )

    def reset(self) -> np.ndarray:
        """Start every environment from its seed, so that the same actions give the same games; [N, …] uint8."""
        observation, info = self._env.reset(seed=self._seeds)
        self._ended = np.zeros(self.num_envs, dtype=bool)
        self._lives = info["lives"]
        return observation

    def step(self, action: np.ndarray) -> StepResult:
        """Apply actions [N] int64. The arrays are new at every call; `episode_end` is the next call's `is_first`.

        A step that loses a life at the time limit is terminated and truncated both, as is true.
        """
        assert action.min() >= 0 and action.max() < self.spec.action.size, action
        observation, reward, terminated, truncated, info = self._env.step(action)
        is_first, valid = self._ended, ~self._ended
        self._ended = terminated | truncated
        if self._settings.life_loss_terminates:
            lives = info["lives"]
            terminated |= (lives < self._lives) & (lives > 0) & valid
            self._lives = lives
        return StepResult(observation, reward.astype(np.float32), terminated, truncated, valid, is_first, self._ended)

    def where(self) -> str:
        """The game; its environments are stepped together, so that no single one can be named."""
        return f"{self.num_envs} environments of ALE game {self.spec.name}"

    def close(self) -> None:
        """Free the emulators and join their threads; closing twice does nothing."""
        self._env.ale = None
