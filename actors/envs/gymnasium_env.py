"""Any registered gymnasium environment whose observations are arrays, or that can be seen."""

import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import gymnasium
import numpy as np

from actors.envs.pixels import PixelView
from actors.envs.python_env import PythonVectorEnv


class GymnasiumVectorEnv(PythonVectorEnv):
    """N copies of a gymnasium environment.

    Arguments:
      env_id: a registered id, e.g. "CartPole-v1".
      seeds: [N] int32.
      max_episode_steps: an episode is truncated after this many steps; None: the id's own limit.
      kwargs: passed to the environment's constructor.
      image_size: show what a person would see (render_mode rgb_array), as grey squares [N, image_size, image_size],
        instead of the environment's own observations; None: show those.
    """

    def __init__(
        self,
        *,
        env_id: str,
        seeds: np.ndarray,
        max_episode_steps: int | None = None,
        kwargs: Mapping[str, Any] | None = None,
        image_size: int | None = None,
    ):
        if max_episode_steps is not None and max_episode_steps < 1:
            raise ValueError(f"max_episode_steps must be at least 1, got {max_episode_steps}")
        make = partial(
            gymnasium.make, env_id, max_episode_steps=max_episode_steps, disable_env_checker=True, **(kwargs or {})
        )
        _quieten_pygame()
        if image_size is not None:
            make = partial(_seen, make, image_size)
        super().__init__(name=env_id, make=make, seeds=seeds)


def _quieten_pygame() -> None:
    """Many environments draw with it; it advertises itself, and complains where it finds no screen and no sound."""
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    if not os.environ.keys() & {"DISPLAY", "WAYLAND_DISPLAY"}:  # where there is one, a window may be wanted
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
        os.environ.setdefault("SDL_AUDIODRIVER", "dummy")


def _seen(make: Callable[[], gymnasium.Env], image_size: int) -> gymnasium.Env:
    return PixelView(make(), image_size)
