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
)  # fmt: skip
"""What the weights, the optimiser's state and the units of the metrics belong to, with all keys below."""


def changes(saved: Config, config: Config) -> list[str]:
    """One line for each key that changed. InputError for the first that a run must keep."""
    old, new = dict(_flat(saved.model_dump(mode="json"))), dict(_flat(config.model_dump(mode="json")))
    lines = []
    for key in old | new:
        was, now = shown(old.get(key)), shown(new.get(key))
        if was == now or key == "run.dir":  # the same folder may be spelled in many ways
            continue
        if any(key == fixed or key.startswith(f"{fixed}.") for fixed in _FIXED):
            raise InputError(f"{key} is {now}, but the run was trained with {was}: its checkpoints do not fit; "
                             f"set {key} to {was}, or start a run of its own with another --run.dir")  # fmt: skip
        lines.append(f"{key} is now {now}; it was {was}")
    return lines


def _flat(section: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and their values."""
    for name, value in section.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
