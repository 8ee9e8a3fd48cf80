"""MiniGrid in C++, by EnvPool, whose observations, rewards and ends are those of `actors.envs.minigrid`.

What EnvPool 1.2.5 does, seen on the real thing (tests/actors/envs/test_minigrid_pool.py), and what is made of it here:

* The same actions in the same level give minigrid's observations to the bit; rewards differ in float32's last place.
* Levels are drawn by another generator: equal seeds give other levels than minigrid's.
* `env_seed` seeds each environment; the default is one constant for all. A reset goes on with the random numbers that
  come next, and there is no seed for a single episode: to start again, the environments are built anew.
* An episode that ends at its last allowed step is reported as truncated alone, where minigrid says terminated too. A
  reward other than 0 tells of an end: it is `terminated` here as well. Lava at that very step earns 0, and stays as is.
* After an episode's last step, the next one resets, and its action is ignored: just as here.
* An action out of range ends the process: actions are checked first.
* MultiRoom-N4-S5-v1 and the WFC ids are missing.
* Doors of MultiRoom may lead into a corner of the next room. In 33 of 40 levels of N4-S5-v0 there was no way to the
  goal (N6: 16 of 25, N2-S4: 10 of 25; none in minigrid), so that configs with these ids are refused.
* Arrays are new at every call.
"""

import difflib
from typing import Any

import numpy as np

from actors.envs.pool import known_tasks, make_pool
from actors.envs.seeds import checked_seeds
from rl_platform.core.interfaces import StepResult
from rl_platform.core.spec import ActionSpec, EnvSpec


class MiniGridPool:
    """N copies of a MiniGrid environment; observations [N, 4, 7, 7] uint8 as `MiniGridVectorEnv` shows them.

    Arguments:
      env_id: e.g. "MiniGrid-DoorKey-8x8-v0".
      seeds: [N] int32.
      max_episode_steps: an episode is truncated after this many steps, to which rewards are relative; None: the id's.
      threads: C++ threads that step the environments.
      render: whether it can be drawn.
    """

    def __init__(self, *, env_id: str, seeds: np.ndarray, max_episode_steps: int | None = None, threads: int = 1,
                 render: bool = False):  # fmt: skip
        self._seeds = checked_seeds(seeds).tolist()
        _check_id(env_id)
        self.num_envs = len(self._seeds)
        self._settings = {"task_id": env_id, "num_envs": self.num_envs, "num_threads": min(threads, self.num_envs)}
        if max_episode_steps is not None:
            self._settings["max_episode_steps"] = max_episode_steps
        if render:
            self._settings["render_mode"] = "rgb_array"
        self._pool, self._fresh = self._built(), True
        height, width, _ = self._pool.observation_space["image"].shape
        self.spec = EnvSpec(
            name=env_id,
            observation_shape=(4, height, width),
            observation_dtype="uint8",
            action=ActionSpec("categorical", int(self._pool.action_space.n)),
        )
        self._ended = np.zeros(self.num_envs, bool)

    def reset(self) -> np.ndarray:
        """Start every environment from its seed, so that the same actions give the same episodes; [N, 4, 7, 7]."""
        if not self._fresh:
            self._pool = self._built()
        self._fresh = False
        self._ended = np.zeros(self.num_envs, bool)
        observation, _ = self._pool.reset()
        return planes(observation["image"], observation["direction"])

    def step(self, action: np.ndarray) -> StepResult:
        """Apply actions [N] int64. The arrays are new at every call; `episode_end` is the next call's `is_first`."""
        assert action.min() >= 0 and action.max() < self.spec.action.size, action
        observation, reward, terminated, truncated, _ = self._pool.step(action)
        is_first, self._ended = self._ended, terminated | truncated
        terminated |= truncated & (reward != 0)
        shown = planes(observation["image"], observation["direction"])
        return StepResult(shown, reward, terminated, truncated, ~is_first, is_first, self._ended)

    def where(self) -> str:
        """The id; its environments are stepped together, so that no single one can be named."""
        return f"{self.num_envs} environments of EnvPool's {self.spec.name}"

    def render(self) -> np.ndarray:
        """The first environment as it looks now, [H, W, 3] uint8."""
        return self._pool.render(0)[0]

    def close(self) -> None:
        """Free the environments and join their threads; closing twice does nothing."""
        self._pool = None

    def _built(self) -> Any:
        return make_pool(**self._settings, env_seed=self._seeds)


def _check_id(env_id: str) -> None:
    known = known_tasks("MiniGrid-")
    if env_id not in known:
        nearest = difflib.get_close_matches(env_id, known, n=1, cutoff=0.0)[0]
        raise ValueError(f"EnvPool has no {env_id}; the nearest is {nearest}, or set env.engine to python")


def planes(image: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """Images [N, 7, 7, 3] uint8 and directions [N] as planes [N, 4, 7, 7] uint8, the direction in every cell."""
    facing = np.broadcast_to(direction.astype(np.uint8)[:, None, None, None], (*image.shape[:-1], 1))
    return np.moveaxis(np.concatenate([image, facing], axis=-1), -1, -3)
