"""Values that change with training progress."""

from typing import Any

from pydantic import model_validator

from configs.section import Section, key


class ScheduleConfig(Section):
    """The keys of `rl_platform.core.schedule.Schedule`; a plain number is a constant."""

    initial: float = key(..., "Value at env step 0.", ge=0.0)
    final: float | None = key(None, "Value that is reached linearly, and kept from there on; null: constant.", ge=0.0)
    over_env_steps: int | None = key(
        None, "Env steps over which `final` is reached; null: constant.", unit="env steps", ge=1
    )

    @model_validator(mode="before")
    @classmethod
    def _from_number(cls, value: Any) -> Any:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return {"initial": value} if is_number else value

    @model_validator(mode="after")
    def _check(self) -> "ScheduleConfig":
        if (self.final is None) != (self.over_env_steps is None):
            raise ValueError("`final` and `over_env_steps` belong together: give both, or neither for a constant")
        return self
