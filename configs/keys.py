"""The schema as data: which keys there are, and what may stand at each."""

import inspect
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin

from pydantic.fields import FieldInfo

from configs.schedule import ScheduleConfig
from configs.section import Section

DISCRIMINATORS = ("backend", "kind")
"""Keys that decide which other keys their section has."""
_BOUNDS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below",
           "min_length": "length at least", "max_length": "length at most"}  # fmt: skip
_NAMES: dict[Any, str] = {bool: "true or false", int: "an integer", float: "a number", str: "text", type(None): "null"}


class Key(NamedTuple):
    """One key of the schema."""

    path: tuple[str, ...]
    field: FieldInfo
    choice: str
    """The alternative that it belongs to, such as "kind: adam"; empty if it is always there."""


class Place(NamedTuple):
    """What stands where an error occurred."""

    path: tuple[str, ...]
    field: FieldInfo | None
    owner: type[Section] | None
    """The section whose key it is."""


def walk(section: type[Section], path: tuple[str, ...] = (), choice: str = "") -> Iterator[Key]:
    """Every key below a section, in the schema's order; elements of a list have the index 0."""
    for name, field in section.model_fields.items():
        here = (*path, name)
        yield Key(here, field, choice)
        alternatives = sections_in(field.annotation)
        inside = (*here, "0") if get_origin(field.annotation) is tuple else here
        for alternative in alternatives:
            yield from walk(alternative, inside, tag_of(alternative) if len(alternatives) > 1 else choice)


def sections_in(annotation: Any) -> tuple[type[Section], ...]:
    """The sections that may stand at a key of this type."""
    parts = get_args(annotation)  # looked at first: in Python 3.10 tuple[int, ...] passes for a class
    if not parts and inspect.isclass(annotation) and issubclass(annotation, Section):
        return (annotation,)
    return tuple(section for part in parts for section in sections_in(part))


def locate(root: type[Section], loc: Sequence[int | str]) -> Place:
    """The key that pydantic's error location means (it names the alternative after a discriminated key)."""
    place, options = Place((), None, root), (root,)
    for part in loc:
        if len(options) > 1 and not isinstance(part, int):
            options = tuple(option for option in options if tag_of(option).endswith(f": {part}"))
        elif isinstance(part, int) or not options:
            place = place._replace(path=(*place.path, str(part)))
        else:
            field = options[0].model_fields.get(part)
            place = Place((*place.path, part), field, options[0])
            options = sections_in(field.annotation) if field else ()
    return place


def discriminator_of(section: type[Section]) -> str | None:
    """The key that tells this alternative from the others."""
    return next((name for name in DISCRIMINATORS if name in section.model_fields), None)


def tags_of(field: FieldInfo) -> list[str]:
    """The values of the discriminator at a key with alternatives."""
    return [tag_of(section).partition(": ")[2] for section in sections_in(field.annotation)]


def tag_of(section: type[Section]) -> str:
    """What makes this alternative the chosen one, such as "kind: adam"; empty if it is no alternative."""
    name = discriminator_of(section)
    return f"{name}: {section.model_fields[name].default}" if name else ""


def expectation(field: FieldInfo) -> str:
    """What may stand at a key, in words: "an integer, at least 1, at most 64 (columns)"."""
    unit = (field.json_schema_extra or {}).get("unit", "") if isinstance(field.json_schema_extra, dict) else ""
    return _describe(field.annotation, field.metadata) + (f" ({unit})" if unit else "")


def _describe(annotation: Any, metadata: Sequence[Any] = ()) -> str:
    limits = [f"{word} {getattr(item, bound):,.12g}" for bound, word in _BOUNDS.items() for item in metadata
              if hasattr(item, bound)]  # fmt: skip
    return ", ".join([_type_in_words(annotation), *limits])


def _type_in_words(annotation: Any) -> str:
    if annotation in _NAMES:
        return _NAMES[annotation]
    if annotation is ScheduleConfig:
        return "a number or a mapping (initial, final, over_env_steps)"
    if get_origin(annotation) is Annotated:
        return _describe(get_args(annotation)[0], get_args(annotation)[1].metadata)
    if get_origin(annotation) is Literal:
        return " | ".join(get_args(annotation))
    if get_origin(annotation) is tuple:
        elements = get_args(annotation)
        count = "" if Ellipsis in elements else f" of {len(elements)}"
        return f"a list{count}, each {_type_in_words(elements[0])}"
    if sections := sections_in(annotation):
        return "a mapping" + (f" with {' | '.join(map(tag_of, sections))}" if len(sections) > 1 else "")
    parts = get_args(annotation)
    return "a mapping" if get_origin(annotation) is dict else " or ".join(map(_type_in_words, parts))
