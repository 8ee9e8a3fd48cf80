"""What differs between the config that a run was launched with and the one it is resumed with."""

from collections.abc import Iterator
from typing import Any

from configs.errors import shown
from configs.schema import Config
from rl_platform.runtime.errors import InputError

_FIXED = (
    "env.backend", "env.id", "env.frame_skip", "env.frame_stack", "env.image_size", "env.full_action_space",
    "env.kwargs", "env.pixels", "model.encoder", "model.heads", "model.separate_value", "model.normalize_observations",
    "learner.optimizer.kind", "learner.rnd.input", "learner.rnd.embedding_source", "learner.rnd.outputs",
    "learner.rnd.discount",
)  # fmt: skip
"""What the weights, the optimiser's state and the units of the metrics belong to, with all keys below."""

_TASK = {"minigrid": ("env.max_episode_steps", "env.level_seed")}
"""By backend, what its rewards are relative to and what is played in every episode."""


def changes(saved: Config, config: Config) -> list[str]:
    """One line for each key that changed. InputError for the first that a run must keep."""
    before, after = saved.model_dump(mode="json"), config.model_dump(mode="json")
    old, new = dict(_flat(before, after)), dict(_flat(after, before))
    lines = []
    for key in old | new:
        was, now = shown(old.get(key)), shown(new.get(key))
        if was == now or key == "run.dir":  # the same folder may be spelled in many ways
            continue
        if why := _reason_to_keep(key, old.get(key), new.get(key), config):
            raise InputError(f"{key} is {now}, but the run was trained with {was}: {why}; "
                             f"set {key} to {was}, or start a run of its own with another --run.dir")  # fmt: skip
        lines.append(f"{key} is now {now}; it was {was}")
    return lines


def _reason_to_keep(key: str, was: Any, now: Any, config: Config) -> str | None:
    if _is_fixed(key) or _needs_more(key, was, now):
        return "its checkpoints do not fit"
    if key in _TASK.get(config.env.backend, ()):
        return "its curves would be of two tasks"
    return None


def _is_fixed(key: str) -> bool:
    return any(_within(key, fixed) or _within(fixed, key) for fixed in _FIXED)


def _within(key: str, section: str) -> bool:
    """Whether it is that section, or lies in it."""
    return f"{key}.".startswith(f"{section}.")


def _needs_more(key: str, was: Any, now: Any) -> bool:
    """Whether the learner would miss something in its state: a target network, the weight of KL, or a momentum."""
    begins_anew = (("learner.kl", None), ("learner.optimizer.momentum", 0.0))
    return (key, now) == ("learner.objective", "impact") or (key, was) in begins_anew


def _flat(section: dict[str, Any], other: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and their values; sections that `other` has too are taken apart."""
    for name, value in section.items():
        beside = other.get(name)
        if isinstance(value, dict) and isinstance(beside, dict):
            yield from _flat(value, beside, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
