"""Distributed actor-learner reinforcement learning in PyTorch, on Ray. Importing this package needs neither."""

from rl_platform._import_guard import verify_siblings

verify_siblings()


def __getattr__(name: str):
    """`rl_platform.load_policy`, imported when it is asked for: it needs PyTorch."""
    if name == "load_policy":
        from rl_platform.runtime.load import load_policy

        return load_policy
    raise AttributeError(f"module 'rl_platform' has no attribute {name!r}")
