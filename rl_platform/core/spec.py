"""What an environment looks like to the rest of the system."""

from dataclasses import dataclass
from typing import Literal

EMULATOR_FPS = 60.0
"""Frames a second of the consoles that are emulated (Atari 2600, NES)."""


@dataclass(frozen=True)
class ActionSpec:
    """The action space.

    categorical: one of `size` choices, 0 to size − 1. gaussian: `size` numbers, of which a policy may choose any: the
    environment clips them to its bounds.
    """

    kind: Literal["categorical", "gaussian"]
    size: int
    low: tuple[float, ...] | None = None
    """The least that each number may be, −inf where it has no bound; None: no number has one (choices never do)."""
    high: tuple[float, ...] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one action."""
        return () if self.kind == "categorical" else (self.size,)

    @property
    def dtype(self) -> str:
        """Type of actions in unrolls."""
        return "int64" if self.kind == "categorical" else "float32"


@dataclass(frozen=True)
class EnvSpec:
    """Static facts of a vector environment, equal for every copy of it.

    `observation_shape` and `observation_dtype` describe what the model sees, for one environment; with
    `frame_stack` S > 1 its first axis has length S and holds frames, oldest first.
    """

    name: str
    observation_shape: tuple[int, ...]
    observation_dtype: str
    action: ActionSpec
    frame_stack: int = 1
    frame_skip: int = 1

    @property
    def frame_shape(self) -> tuple[int, ...]:
        """Shape of what unrolls store for one time and one environment."""
        return self.observation_shape if self.frame_stack == 1 else self.observation_shape[1:]
