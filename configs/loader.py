"""From a name and overrides to a checked configuration, before any process starts."""

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from configs.errors import ConfigError
from configs.layers import Layer, file_layers, override_layers
from configs.merge import merge
from configs.messages import describe
from configs.schema import Config


def load_config(name_or_path: str, overrides: Sequence[str] = (), extends: Sequence[str] = ()) -> Config:
    """Read, merge and check a configuration.

    Args:
      name_or_path: a YAML file, or the name of a shipped one such as "atari/pong_impala".
      overrides: `--section.key value` or `--section.key=value`, laid over everything else.
      extends: fragments laid over the file, in this order.

    Raises:
      ConfigError: one line that names the key, file or value at fault, and how to mend it.
    """
    name_or_path = str(name_or_path)
    layers = file_layers(name_or_path, *extends) + override_layers(overrides)
    settings: Any = _defaults()
    for layer in layers:
        settings = _laid_over(settings, layer)

    def source_of(path: Sequence[str]) -> str:
        return next((layer.source for layer in reversed(layers) if path and layer.sets(path)), name_or_path)

    try:
        return Config.model_validate(settings)
    except ValidationError as error:
        raise ConfigError(describe(error, Config, source_of)) from None


def _defaults() -> dict[str, Any]:
    """The sections that have defaults, so that overriding one key of an alternative keeps the rest of it."""
    fields = Config.model_fields
    return {name: field.default.model_dump(mode="json") for name, field in fields.items() if not field.is_required()}


def _laid_over(settings: Any, layer: Layer) -> Any:
    try:
        return merge(settings, layer.settings)
    except ConfigError as error:
        raise ConfigError(f"{layer.source}: {error}") from None
