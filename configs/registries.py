"""Packages that add environments to gymnasium's registry: imported when an id asks for them, and not before."""

import os
from importlib import import_module


def register(env_id: str) -> str | None:
    """Let the package whose ids begin like this one add them to the registry, if there is one and it is installed.

    Returns what to install if it is not, else None. Doing it twice does nothing.
    """
    if env_id.startswith("MinAtar/"):
        return _register_minatar()
    if env_id.startswith("MiniGrid-"):
        return _register_minigrid()
    return None


def _register_minatar() -> str | None:
    try:
        minatar = import_module("minatar.gym")
    except ModuleNotFoundError:
        return "rl-platform[minatar]"
    import gymnasium  # lazily: whoever names no such id may never need it

    if "MinAtar/Breakout-v1" not in gymnasium.registry:
        minatar.register_envs()
    return None


def _register_minigrid() -> str | None:
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")  # what it draws with advertises itself when imported
    try:
        import_module("minigrid")  # which registers its ids
    except ModuleNotFoundError:
        return "rl-platform[minigrid]"
    return None
