"""From pydantic's errors to one line for people."""

from collections.abc import Callable, Sequence

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from configs.errors import did_you_mean, shown
from configs.keys import Place, discriminator_of, expectation, locate, sections_in, tags_of, walk
from configs.section import Section


def describe(error: ValidationError, root: type[Section], source_of: Callable[[Sequence[str]], str]) -> str:
    """The error to mend first: "<where it was written>: <key>: <what is wrong>; <how to mend it>".

    Unknown keys come first: a misspelt key often explains why another is missing.

    Args:
      root: the section that was validated.
      source_of: names the file or option that set a key.
    """
    details = sorted(error.errors(include_url=False), key=lambda one: one["type"] != "extra_forbidden")
    first = details[0]
    others = sum(first["loc"][: len(one["loc"])] != one["loc"] for one in details)  # not what the first one entails
    path, text = _in_words(first, locate(root, first["loc"]), root)
    more = f" (and {others} more)" if others else ""
    source, key = source_of(path), ".".join(path)
    return ": ".join(part for part in (source, key, text) if part and f"--{part}" != source) + more


def _in_words(detail: ErrorDetails, place: Place, root: type[Section]) -> tuple[Sequence[str], str]:
    """The path of the key at fault, and what is wrong with it."""
    kind, value = detail["type"], detail["input"]
    if kind == "extra_forbidden":
        return place.path, "unknown key" + _suggestion(place, root)
    if kind == "value_error":
        return place.path, str(detail["ctx"]["error"])
    assert place.field is not None, detail
    if kind == "missing":
        return place.path, f"is missing; give {expectation(place.field)}: {place.field.description}"
    if kind in ("union_tag_not_found", "union_tag_invalid"):
        return _wrong_alternative(detail, place)
    return place.path, f"must be {expectation(place.field)}, not {shown(value)}"


def _wrong_alternative(detail: ErrorDetails, place: Place) -> tuple[Sequence[str], str]:
    assert place.field is not None
    discriminator = discriminator_of(sections_in(place.field.annotation)[0])
    assert discriminator is not None
    path, known = (*place.path, discriminator), tags_of(place.field)
    if detail["type"] == "union_tag_not_found":
        return path, f"is missing; give {' | '.join(known)}"
    tag = detail["input"][discriminator]
    return path, f"must be {' | '.join(known)}, not {shown(tag)}" + did_you_mean(str(tag), known)


def _suggestion(place: Place, root: type[Section]) -> str:
    """For an unknown key: where a key of that name exists, or the nearest of its section's keys."""
    name, owner = place.path[-1], place.owner
    for key in walk(root):
        if key.path == place.path:
            return f"; it exists only with {key.choice}"
        if key.path[-1] == name:
            return f"; did you mean {'.'.join(key.path)!r}?"
    assert owner is not None
    return did_you_mean(name, owner.model_fields) or f"; known: {', '.join(owner.model_fields)}"
