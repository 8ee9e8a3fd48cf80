"""Laying one tree of settings over another."""

from typing import Any

from configs.errors import ConfigError
from configs.keys import DISCRIMINATORS


def merge(base: Any, over: Any, path: str = "") -> Any:
    """`over` laid over `base`; neither is changed.

    Mappings merge key by key, and a mapping whose keys are numbers changes those elements of a list; anything else
    replaces. A mapping that names another alternative (`backend`, `kind`) replaces too: the old one's keys would
    mean nothing to it.

    Raises:
      ConfigError: a list has no such element.
    """
    if isinstance(base, list) and isinstance(over, dict) and over and all(map(is_index, over)):
        return _merge_elements(base, over, path)
    if not (isinstance(base, dict) and isinstance(over, dict)) or _other_alternative(base, over):
        return over
    merged = dict(base)
    for name, value in over.items():
        merged[name] = merge(base[name], value, f"{path}.{name}" if path else name) if name in base else value
    return merged


def is_index(name: str) -> bool:
    """Whether a key is the number of a list's element."""
    return name.isdecimal() and len(name) < 10


def _merge_elements(base: list[Any], over: dict[str, Any], path: str) -> list[Any]:
    merged = list(base)
    for name, value in over.items():
        if int(name) >= len(base):
            raise ConfigError(
                f"{path}.{name}: the list has {len(base)} elements; give an index from 0 to {len(base) - 1}"
            )
        merged[int(name)] = merge(base[int(name)], value, f"{path}.{name}")
    return merged


def _other_alternative(base: dict[str, Any], over: dict[str, Any]) -> bool:
    return any(name in base and name in over and base[name] != over[name] for name in DISCRIMINATORS)
