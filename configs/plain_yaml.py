"""YAML as configurations need it: `yaml.safe_load` narrowed to mappings, lists and scalars of YAML 1.2.

Differs from `yaml.safe_load`, which follows YAML 1.1, because `on` would be true, 1e-4 text and 1:30 ninety there.
Tags, aliases and repeated keys are refused: a file cannot make the loader build, expand or hide anything.
"""

import re
from typing import Any, ClassVar

import yaml

from configs.errors import ConfigError

_MAX_NESTING = 50
_DIGITS = r"[0-9]+(?:_[0-9]+)*"
_SCALARS = {
    "null": r"~|null|Null|NULL|",
    "bool": r"true|True|TRUE|false|False|FALSE",
    "int": rf"[-+]?{_DIGITS}(?:[eE]\+?[0-9]{{1,2}})?",
    "float": rf"[-+]?(?:{_DIGITS}(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
}


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: ClassVar[dict[str | None, Any]] = {}
    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent):
            raise _at(event, f"aliases such as *{event.anchor} are not accepted; use `extends` to share keys")
        if event.tag is not None:
            raise _at(event, f"tags such as {event.tag} are not accepted; write plain values")
        if self.depth > _MAX_NESTING:
            raise _at(event, "nested too deeply")
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.tag != "tag:yaml.org,2002:str":
                raise _at(key, "a key must be text; put it in quotes")
            if key.value in seen:
                raise _at(key, f"the key {key.value!r} is given twice; remove one")
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _at(place: Any, problem: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=place.start_mark)


def _integer(loader: _Loader, node: yaml.ScalarNode) -> int:
    """5e6 is an integer too."""
    mantissa, _, exponent = node.value.lower().partition("e")
    return int(mantissa) * 10 ** int(exponent or 0)


for _name, _pattern in _SCALARS.items():
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", re.compile(f"^(?:{_pattern})$"), None)
_Loader.add_constructor("tag:yaml.org,2002:int", _integer)


def read_yaml(text: str, source: str) -> Any:
    """The value of one YAML document; None if it is empty.

    Raises:
      ConfigError: naming `source` and, where there is one, the line.
    """
    try:
        return _Loader(text).get_single_data()
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(f"{source}{line}: {', '.join(filter(None, (error.context, error.problem)))}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{source}: not YAML: {' '.join(str(error).split())}") from None
    except ValueError:
        raise ConfigError(f"{source}: a number in it has too many digits; shorten it") from None
