"""What is told of the rooms of a game's world, such as those of Montezuma's Revenge."""

from typing import NamedTuple

import numpy as np

START = -1
"""In place of a room: a game began."""


class Passage(NamedTuple):
    """How often players went from one room to another in an unroll."""

    origin: int
    """The room before, or `START` for the room in which a game began."""
    room: int
    times: int
    first: int
    """Counted env steps, over all environments, before the first of these steps."""


class RoomClip(NamedTuple):
    """What was seen around the first entry to a room: grey frames [K, H, W] uint8, one for each env step."""

    room: int
    frames: np.ndarray


class RoomLog(NamedTuple):
    """What happened to rooms in an unroll, or an evaluation."""

    passages: tuple[Passage, ...]
    clips: tuple[RoomClip, ...]
    """Those completed in this unroll; the entry may lie in an earlier one."""
