"""From a config to environments, and to what shows them."""

from typing import Protocol

import numpy as np

from actors.envs.ale import AleVectorEnv
from actors.envs.ale_envpool import AleEnvpoolVectorEnv
from actors.envs.ale_screen import AleScreen
from actors.envs.ale_single import AleSingleVectorEnv
from actors.envs.frame_stack import FrameStacked
from actors.envs.gymnasium_env import GymnasiumVectorEnv
from actors.envs.mario import MarioVectorEnv
from actors.envs.minigrid import MiniGridVectorEnv
from actors.envs.minigrid_pool import MiniGridPool
from actors.envs.rendered_screen import RenderedScreen
from configs.env import AleEnv, GymnasiumEnv, MarioEnv, MiniGridEnv
from configs.schema import Config
from rl_platform.core.interfaces import VectorEnv
from rl_platform.core.seeding import derive_seeds
from rl_platform.core.spec import EnvSpec
from rl_platform.runtime.errors import InputError


class Screen(Protocol):
    """Shows a person the first of N environments."""

    def picture(self) -> np.ndarray:
        """[H, W, 3] uint8."""

    def step(self, action: np.ndarray) -> None:
        """The environments were given these actions [N]."""


def env_spec(config: Config) -> EnvSpec:
    """What the config's environment looks like, read off one that is made and closed again."""
    env = make_env(config, derive_seeds(config.run.seed, 1, "spec"))
    env.close()
    return env.spec


def make_env(config: Config, seeds: np.ndarray, *, render: bool = False) -> VectorEnv:
    """One environment for each seed; `render` for those that must be told beforehand that they will be shown."""
    if config.env.backend == "ale":
        return _make_ale(config.env, seeds)
    if config.env.backend == "minigrid":
        return _make_minigrid(config.env, seeds, render)
    if config.env.backend == "mario":
        return _make_mario(config.env, seeds)
    return _make_gymnasium(config.env, seeds, render)


def _make_ale(env: AleEnv, seeds: np.ndarray) -> VectorEnv:
    settings = env.model_dump(exclude={"backend", "id", "engine", "rooms"})
    if env.engine == "vector":
        return AleVectorEnv(game=env.id, seeds=seeds, **settings)
    engine = {"single": AleSingleVectorEnv, "envpool": AleEnvpoolVectorEnv}[env.engine]
    return engine(game=env.id, seeds=seeds, room_byte=env.room_byte, **settings)


def _make_minigrid(env: MiniGridEnv, seeds: np.ndarray, render: bool) -> VectorEnv:
    settings = {"env_id": env.id, "seeds": seeds, "max_episode_steps": env.max_episode_steps, "render": render}
    if env.engine == "envpool":
        return MiniGridPool(**settings, threads=env.threads)
    return MiniGridVectorEnv(**settings, level_seed=env.level_seed)


def _make_mario(env: MarioEnv, seeds: np.ndarray) -> VectorEnv:
    settings = env.model_dump(exclude={"backend", "id", "frame_stack"})
    return FrameStacked(MarioVectorEnv(env_id=env.id, seeds=seeds, **settings), env.frame_stack)


def _make_gymnasium(env: GymnasiumEnv, seeds: np.ndarray, render: bool) -> VectorEnv:
    kwargs = {**env.kwargs, "render_mode": "rgb_array"} if render or env.pixels else env.kwargs
    settings = {"env_id": env.id, "seeds": seeds, "max_episode_steps": env.max_episode_steps, "kwargs": kwargs}
    if env.pixels is None:
        return GymnasiumVectorEnv(**settings)
    return FrameStacked(GymnasiumVectorEnv(**settings, image_size=env.pixels.image_size), env.pixels.frame_stack)


def make_screen(config: Config, env: VectorEnv, seeds: np.ndarray) -> Screen:
    """What shows the first of the environments that `make_env` made with these seeds and `render`."""
    if config.env.backend == "ale":
        if config.env.engine == "envpool":
            raise InputError("env.engine envpool plays games that cannot be shown; evaluate without --video")
        unseen = {"backend", "id", "frame_stack", "image_size", "maxpool", "life_loss_terminates", "threads", "engine",
                  "rooms"}  # fmt: skip
        return AleScreen(game=config.env.id, seed=int(seeds[0]), **config.env.model_dump(exclude=unseen))
    return RenderedScreen(env)
