"""MiniGrid in Python: grids of rooms, doors and keys, of which the agent sees the 7 × 7 cells before it.

What minigrid 3.2.0 does, seen on the real thing (tests/actors/envs/test_minigrid.py):

* A cell has an object (0 … 9; 10, the agent, is never in its own view), a colour (0 … 5) and a door's state (0 … 2).
  The cell that the agent stands on shows what it carries. Axes are [x, y]: ahead of the agent is smaller y.
* MultiRoom-N4-S5-v0 has six rooms, whatever its name says; -v1 has four.
* `max_steps` is also the scale of the reward, 1 − 0.9 · steps / max_steps.
* The mission (which object to fetch, say) is text: left out, so ids that need it can only be guessed at.
* The WFC ids need images that its wheel lacks; BabyAI's need the mission. Both are unknown here.
"""

import warnings
from functools import partial

import gymnasium
import numpy as np
from gymnasium.spaces import Box

from actors.envs.minigrid_view import view
from actors.envs.python_env import PythonVectorEnv
from configs.env import MINIGRID_VALUES


class MiniGridVectorEnv(PythonVectorEnv):
    """N copies of a MiniGrid environment; observations [N, 4, 7, 7] uint8: object, colour, state, and the direction.

    The direction (0 right, 1 down, 2 left, 3 up) is the same everywhere in its plane. The seven actions are turn left,
    turn right, forward, pick up, drop, toggle, done (Dynamic-Obstacles has the first three).

    Arguments:
      env_id: e.g. "MiniGrid-MultiRoom-N6-v0".
      seeds: [N] int32.
      max_episode_steps: an episode is truncated after this many steps, to which rewards are relative; None: the id's.
      level_seed: every episode of every environment has the level of this seed (and whatever else is random in it);
        None: a new level each episode.
      render: whether it can be drawn.
    """

    def __init__(self, *, env_id: str, seeds: np.ndarray, max_episode_steps: int | None = None,
                 level_seed: int | None = None, render: bool = False):  # fmt: skip
        settings = {} if max_episode_steps is None else {"max_steps": max_episode_steps}
        if render:
            settings["render_mode"] = "rgb_array"
        super().__init__(name=env_id, make=partial(_make, env_id, level_seed, settings), seeds=seeds)


def _make(env_id: str, level_seed: int | None, settings: dict[str, int | str]) -> gymnasium.Env:
    with warnings.catch_warnings():  # MultiRoom-N4-S5-v0 is another task than -v1, not an older one
        warnings.filterwarnings("ignore", message=".*is out of date")
        env = gymnasium.make(env_id, disable_env_checker=True, **settings)
    return GridView(env, level_seed)


class GridView(gymnasium.Wrapper):
    """Observations as planes, and levels that come back.

    minigrid's `reset` and `step` return what its `gen_obs` makes, which is replaced here: it took most of their time.
    """

    def __init__(self, env: gymnasium.Env, level_seed: int | None):
        super().__init__(env)
        grid = env.unwrapped
        sides = (grid.agent_view_size,) * 2
        most = np.broadcast_to(np.array(MINIGRID_VALUES, np.uint8)[:, None, None] - 1, (4, *sides))
        self.observation_space = Box(np.zeros_like(most), most, dtype=np.uint8)
        self._level_seed = level_seed
        grid.gen_obs = partial(view, grid)

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[np.ndarray, dict]:
        """Start an episode, from the level's seed where there is one."""
        return self.env.reset(seed=seed if self._level_seed is None else self._level_seed, options=options)
