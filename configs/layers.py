"""Where settings come from: files, the fragments that they extend, and the command line."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from configs.errors import ConfigError, did_you_mean, shown
from configs.keys import DISCRIMINATORS
from configs.merge import is_index
from configs.plain_yaml import read_yaml

SHIPPED = Path(__file__).parent
"""The configurations that come with the platform, named by their path below this folder, such as atari/pong_impala."""
MAX_BYTES = 100_000


class Layer(NamedTuple):
    """Some settings, and where they were written."""

    source: str
    settings: dict[str, Any]

    def sets(self, path: Sequence[str]) -> bool:
        """Whether this layer has a say on the key at `path`."""
        value: Any = self.settings
        for name in path:
            if isinstance(value, list) and is_index(name) and int(name) < len(value):
                value = value[int(name)]
            elif isinstance(value, dict) and name in value:
                value = value[name]
            else:
                return value is not self.settings and not isinstance(value, dict | list)
        return True


def shipped_names() -> list[str]:
    """The shipped configurations, fragments included."""
    return sorted(path.relative_to(SHIPPED).with_suffix("").as_posix() for path in SHIPPED.rglob("*.yaml"))


def file_layers(*names: str) -> list[Layer]:
    """The layers of a configuration and of what is laid over it, lowest first: of each what it extends, then itself.

    What the others extend is laid once, at its first place: laid again, it would undo what lies over it there. The
    files named here are laid in any case.

    Args:
      names: each a path, or a shipped name.

    Raises:
      ConfigError: a file is missing, unreadable, too large, no mapping, or extends itself.
    """
    layers: list[Layer] = []
    for name in names:
        _add_file(_find(name, Path()), (), layers)
    return layers


def _add_file(path: Path, chain: tuple[Path, ...], layers: list[Layer]) -> None:
    if path in chain:
        cycle = " → ".join(str(one) for one in (*chain[chain.index(path) :], path))
        raise ConfigError(f"{path}: extends itself ({cycle}); remove one of these")
    if chain and any(layer.source == str(path) for layer in layers):
        return
    settings = _read_mapping(path)
    for name in _extended(settings.pop("extends", []), path):
        _add_file(_find(name, path.parent, f"{path}: extends: "), (*chain, path), layers)
    layers.append(Layer(str(path), settings))


def _extended(names: Any, path: Path) -> list[str]:
    names = [names] if isinstance(names, str) else names
    if not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        raise ConfigError(f"{path}: extends: must be a path, or a list of paths")
    return names


def _find(name: str, folder: Path, blame: str = "") -> Path:
    """The file of that name, seen from `folder`, or else a shipped one; `.yaml` may be left out."""
    candidates = [base / f"{name}{suffix}" for base in (folder, SHIPPED) for suffix in ("", ".yaml")]
    try:
        found = next((path for path in candidates if path.is_file()), None)
        if found is not None:
            return found.resolve()  # so that however a file is spelt, a circle is seen
        is_folder = candidates[0].is_dir()
    except OSError as error:
        raise ConfigError(f"{blame}{shown(name)} cannot be opened: {error.strerror}") from None
    if is_folder:
        raise ConfigError(f"{blame}{shown(name)} is a folder; name a YAML file in it")
    names = shipped_names()
    known = did_you_mean(name.removesuffix(".yaml"), names) or f" ({', '.join(names)})"
    raise ConfigError(f"{blame}{shown(name)} is neither a file nor a shipped configuration{known}")


def _read_mapping(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise ConfigError(f"{path}: larger than {MAX_BYTES // 1000} kB: not a configuration; name another file")
        settings = read_yaml(content.decode("utf-8-sig"), str(path))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not UTF-8 text; save it as UTF-8") from None
    if settings is None:
        return {}
    if not isinstance(settings, dict):
        raise ConfigError(f"{path}: must be a mapping of sections (run, env, …), not {type(settings).__name__}")
    return settings


def override_layers(arguments: Iterable[str]) -> list[Layer]:
    """One layer for each `--section.key value` or `--section.key=value`; values are YAML.

    Those that choose an alternative (`--env.backend`) come first: they would sweep away its other keys.
    """
    layers: list[tuple[bool, Layer]] = []
    rest = iter(arguments)
    for argument in rest:
        option, equals, text = argument.partition("=")
        names = option.removeprefix("--").split(".")
        if not option.startswith("--") or not all(names):
            raise ConfigError(f"{argument!r} is not an override; write --section.key value")
        value = text if equals else next(rest, "")
        if not value or (not equals and value.startswith("--")):
            raise ConfigError(f"{option}: needs a value; write {option} value")
        layers.append((names[-1] not in DISCRIMINATORS, Layer(option, _nested(names, read_yaml(value, option)))))
    return [layer for _, layer in sorted(layers, key=lambda item: item[0])]


def _nested(names: Sequence[str], value: Any) -> dict[str, Any]:
    for name in reversed(names):
        value = {name: value}
    return value
