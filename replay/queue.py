"""The on-policy queue: bounded, each column leaves once, in the order in which it came."""

from typing import Literal

import numpy as np

from replay.ring import ColumnRing
from rl_platform.core.types import Unroll

Overflow = Literal["block", "drop_oldest"]


class QueueSource:
    """First in, first out, over a ring of columns.

    What leaves it stays in `ring` until the next `insert`: copy or use it before.

    Args:
      capacity: columns that may wait.
      overflow: what a full queue does with a new column: `block` leaves it to the feeder to collect no more than
        fits (an insert beyond that is a programming error); `drop_oldest` makes room and counts what was dropped.
      max_policy_lag: columns older than this many versions are dropped instead of taken.
    """

    def __init__(self, capacity: int, *, overflow: Overflow, max_policy_lag: int):
        self.capacity = capacity
        self._overflow = overflow
        self._max_policy_lag = max_policy_lag
        self.ring = ColumnRing(capacity)
        self._head = 0
        self._count = 0
        self._dropped = 0

    def __len__(self) -> int:
        return self._count

    def insert(self, unroll: Unroll) -> None:
        """Append every column of an unroll."""
        num_columns = unroll.steps.action.shape[1]
        kept = slice(max(0, num_columns - self.capacity), num_columns)
        num_kept = num_columns - kept.start
        self._make_room(num_kept)
        self._dropped += kept.start
        self.ring.write(self._slots(self._count, num_kept), unroll, kept)
        self._count += num_kept

    def drop_stale(self, learner_version: int) -> int:
        """Drop and count what is too old for `learner_version`; returns the columns left."""
        slots = self._slots(0, self._count)
        fresh = learner_version - self.ring.weight_version[slots] <= self._max_policy_lag
        stale = self._count - int(fresh.sum())
        if stale:
            # Versions arrive almost in order: a fresh column before a stale one, which moves up behind it, is rare.
            self.ring.move(slots[fresh], slots[stale:])
            self._advance(stale)
            self._dropped += stale
        return self._count

    def draw(self, num_columns: int) -> np.ndarray:
        """The slots of the oldest `num_columns`, which must be there; they leave the queue."""
        assert self._count >= num_columns, (self._count, num_columns)
        slots = self._slots(0, num_columns)
        self._advance(num_columns)
        self.ring.uses[slots] += 1
        return slots

    def take_dropped(self) -> int:
        """Columns dropped since the last call."""
        dropped, self._dropped = self._dropped, 0
        return dropped

    def _make_room(self, num_columns: int) -> None:
        excess = self._count + num_columns - self.capacity
        if excess <= 0:
            return
        assert self._overflow == "drop_oldest", f"queue of {self.capacity} columns overrun by {excess}"
        self._advance(excess)
        self._dropped += excess

    def _advance(self, num_columns: int) -> None:
        self._head = (self._head + num_columns) % self.capacity
        self._count -= num_columns

    def _slots(self, offset: int, num_columns: int) -> np.ndarray:
        return (self._head + offset + np.arange(num_columns)) % self.capacity
