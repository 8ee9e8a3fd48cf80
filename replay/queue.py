"""The on-policy queue: bounded, each column leaves once, in the order in which it came."""

from typing import Literal

import numpy as np

from replay.ring import ColumnRing
from rl_platform.core.types import Trajectory, Unroll

Overflow = Literal["block", "drop_oldest"]


class QueueSource:
    """First in, first out, over a ring of columns.

    What `take` returns may be views into the ring: copy or use it before the next `insert`.

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
        self._ring = ColumnRing(capacity)
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
        self._ring.write(self._slots(self._count, num_kept), unroll, kept)
        self._count += num_kept

    def take(self, num_columns: int, learner_version: int) -> tuple[Trajectory, np.ndarray] | None:
        """The oldest `num_columns` fresh enough for `learner_version`, columns first, and their weight versions.

        None when there are too few; stale ones are dropped and counted either way.
        """
        self._drop_stale(learner_version)
        if self._count < num_columns:
            return None
        slots = self._slots(0, num_columns)
        self._advance(num_columns)
        return self._ring.read(slots), self._ring.weight_version[slots]

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

    def _drop_stale(self, learner_version: int) -> None:
        """Versions arrive almost in order; an old column behind a fresh one waits until it comes to the front."""
        while self._count and learner_version - self._ring.weight_version[self._head] > self._max_policy_lag:
            self._advance(1)
            self._dropped += 1

    def _advance(self, num_columns: int) -> None:
        self._head = (self._head + num_columns) % self.capacity
        self._count -= num_columns

    def _slots(self, offset: int, num_columns: int) -> np.ndarray:
        return (self._head + offset + np.arange(num_columns)) % self.capacity
