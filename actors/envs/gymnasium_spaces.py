"""gymnasium's spaces: which are supported, and what they mean here."""

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete

from configs.registries import register
from rl_platform.core.spec import ActionSpec


def spaces_of(env_id: str, make: Callable[[], gymnasium.Env]) -> tuple[Box, Discrete | Box]:
    """The observation and action space of an environment, which `make` builds.

    Raises:
      ValueError: it cannot be built, or a space is of a kind that is not supported.
    """
    if ":" in env_id:
        raise ValueError(f"{env_id!r} names a module to import; give the registered id alone")
    register(env_id)
    try:
        env = make()
    except (gymnasium.error.Error, ImportError, TypeError) as error:
        raise ValueError(_why_not_built(env_id, error)) from error
    observation_space, action_space = env.observation_space, env.action_space
    env.close()
    if not isinstance(action_space, Discrete) and not _is_box_of_floats(action_space, dimensions=1):
        raise ValueError(
            f"{env_id!r} has the action space {action_space}; only Discrete and one-dimensional Box of floats are "
            "supported"
        )
    if not isinstance(observation_space, Box) or shown_dtype(observation_space) is None:
        raise ValueError(
            f"{env_id!r} has the observation space {observation_space}; only Box of floats, uint8 or bool is supported"
        )
    return observation_space, action_space


def _is_box_of_floats(space: gymnasium.Space, dimensions: int | None = None) -> bool:
    """Whether it is one; with that many dimensions, if a number is given."""
    is_box = isinstance(space, Box) and space.dtype.kind == "f"
    return is_box and dimensions in (None, len(space.shape))


def _why_not_built(env_id: str, error: Exception) -> str:
    spec = gymnasium.registry.get(env_id)
    if str(error).startswith("pygame"):
        return f"{env_id!r} needs pygame ({error.__cause__ or error}): pip install 'rl-platform[pixels]'"
    is_of_mujoco = spec is not None and str(spec.entry_point).startswith("gymnasium.envs.mujoco")
    if is_of_mujoco and isinstance(error, gymnasium.error.DependencyNotInstalled):
        return f"{env_id!r} needs MuJoCo ({error.__cause__ or error}): pip install 'rl-platform[mujoco]'"
    return f"gymnasium cannot build {env_id!r}: {error}"


def shown_dtype(space: Box) -> str | None:
    """The dtype in which a space's observations are shown: "uint8" also for truth values; None: not supported."""
    if space.dtype in (np.dtype(np.uint8), np.dtype(bool)):
        return "uint8"
    return "float32" if space.dtype.kind == "f" else None


def action_spec(space: Discrete | Box) -> ActionSpec:
    """Choices, counted from 0; or numbers and their bounds."""
    if isinstance(space, Discrete):
        return ActionSpec("categorical", int(space.n))
    return ActionSpec("gaussian", space.shape[0], tuple(space.low.tolist()), tuple(space.high.tolist()))


def played(action: np.ndarray, space: Discrete | Box) -> list[Any]:
    """What each of N environments is given: a choice counted from the space's first, or numbers clipped to its bounds.

    `action` must be choices [N] that there are, or finite numbers [N, A].
    """
    if isinstance(space, Discrete):
        assert action.min() >= 0 and action.max() < space.n, action
        return (action + int(space.start)).tolist()
    assert action.shape[1:] == space.shape and np.isfinite(action).all(), action
    return list(np.clip(action, space.low, space.high).astype(space.dtype))


def channels_first(shape: tuple[int, ...], dtype: str) -> tuple[int, ...]:
    """The order in which axes are shown: images [H, W, C] as [C, H, W]. With fewer rows than channels they are that."""
    is_image = len(shape) == 3 and dtype == "uint8"
    return (2, 0, 1) if is_image and shape[2] <= shape[0] else tuple(range(len(shape)))
