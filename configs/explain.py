"""The schema and a configuration, as text."""

import textwrap

import yaml

from configs.errors import shown
from configs.keys import Key, expectation, sections_in, tag_of, walk
from configs.schedule import ScheduleConfig
from configs.schema import Config
from configs.section import Section


def explain() -> str:
    """Every key: what may stand there, its range, unit and default, and what it means."""
    return "\n".join(_entry(key) for key in walk(Config)) + "\n"


def to_yaml(config: Config) -> str:
    """The whole configuration, as YAML that loads back to an equal one."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _entry(key: Key) -> str:
    name = ".".join(key.path) + (f"  [{key.choice}]" if key.choice else "")
    facts = f"{expectation(key.field)}; {_default(key)}"
    lines = [name, *(f"    {line}" for line in textwrap.wrap(facts, 110)),
             *(f"    {line}" for line in textwrap.wrap(key.field.description or "", 110))]  # fmt: skip
    return ("\n" if len(key.path) == 1 else "") + "\n".join(lines)


def _default(key: Key) -> str:
    default = key.field.default
    if key.field.is_required():
        return "must be given"
    if isinstance(default, ScheduleConfig):
        return f"default {default.initial:g}"
    if isinstance(default, tuple) and default and isinstance(default[0], Section):
        return f"default: {', '.join(tag_of(type(element)) for element in default)}"
    if sections := sections_in(key.field.annotation):
        return f"default {tag_of(type(default))}" if len(sections) > 1 else "default: those of its keys"
    if isinstance(default, str):
        return f"default {default}"
    return f"default {shown(list(default) if isinstance(default, tuple) else default)}"
