"""What every section of the configuration is made of."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """Frozen and strict: unknown keys, true for 1, "3" for 3 and nan are refused. An integer may stand for a number."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def key(default: Any, sentence: str, *, unit: str = "", **limits: Any) -> Any:
    """A key: its default (`...`: it must be given), what it means, its unit, and pydantic's limits (ge, gt, le, lt)."""
    return Field(default, description=sentence, json_schema_extra={"unit": unit}, **limits)


SEQUENCE: dict[str, Any] = {"strict": False}
"""Limits of a tuple-valued key: a YAML list may stand for a tuple (its elements stay strict)."""
