"""The one error that a mistake in a configuration raises, and the words it is made of."""

import difflib
import math
import reprlib
from collections.abc import Iterable
from typing import Any

_MAX_CHARACTERS = 600
_YAML_WORDS = {"True": "true", "False": "false", "None": "null"}
_short = reprlib.Repr()
_short.maxstring = _short.maxother = 60


class ConfigError(ValueError):
    """One line that names the key, file or value at fault, and how to mend it."""

    def __init__(self, message: str):
        line = "".join(character if character.isprintable() else ascii(character)[1:-1] for character in message)
        super().__init__(line if len(line) <= _MAX_CHARACTERS else line[:_MAX_CHARACTERS] + "…")


def shown(value: Any) -> str:
    """A value as its author would write it, shortened."""
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else f"{value:+}"
    text = _short.repr(value)
    return _YAML_WORDS.get(text, text)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """'; did you mean …?' for the nearest known name; '' if none is near."""
    nearest = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {nearest[0]!r}?" if nearest else ""
