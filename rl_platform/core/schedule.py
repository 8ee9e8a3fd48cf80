"""Values that change with training progress, as pure functions of committed env steps."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """`initial`, moving linearly to `final` over the first `over_env_steps` env steps; constant when that is None."""

    initial: float
    final: float = 0.0
    over_env_steps: int | None = None

    def __call__(self, env_steps: int) -> float:
        if self.over_env_steps is None:
            return self.initial
        progress = min(env_steps / self.over_env_steps, 1.0)
        return self.initial + (self.final - self.initial) * progress
