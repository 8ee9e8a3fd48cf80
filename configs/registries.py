"""Packages that add environments to gymnasium's registry: imported when an id asks for them, and not before."""

from importlib import import_module


def register(env_id: str) -> str | None:
    """Let the package whose ids begin like this one add them to the registry, if there is one and it is installed.

    Returns what to install if it is not, else None. Doing it twice does nothing.
    """
    if not env_id.startswith("MinAtar/"):
        return None
    try:
        minatar = import_module("minatar.gym")
    except ModuleNotFoundError:
        return "rl-platform[minatar]"
    import gymnasium  # lazily: whoever names no such id may never need it

    if "MinAtar/Breakout-v1" not in gymnasium.registry:
        minatar.register_envs()
    return None
