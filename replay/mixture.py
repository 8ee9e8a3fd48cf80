"""How many columns of a batch come from where, in whole numbers."""

import math
from collections.abc import Sequence
from typing import NamedTuple

_EXACT = 1e-6
"""How far share · columns may be from a whole number: shares are decimal fractions."""


class Portions(NamedTuple):
    """Columns of one batch."""

    queue: int
    replayed: tuple[int, ...]
    """By source; 0: not ready."""
    lent: int
    """Columns of `queue` that stand in for sources that are not ready."""

    @property
    def total(self) -> int:
        """Columns of the batch."""
        return self.queue + sum(self.replayed)


class Mixture:
    """Divides batches so that each replay source has exactly its share; the queue has the rest.

    With `max_columns` a batch grows with what waits in the queue, in the smallest steps that keep the shares exact, up
    to that number of columns in all.

    Args:
      shares: of the replay sources; share · batch_columns is a whole number.
      batch_columns: columns of the smallest batch.
      max_columns: None: every batch has `batch_columns`.
    """

    def __init__(self, shares: Sequence[float], *, batch_columns: int, max_columns: int | None = None):
        replayed = [_whole(share * batch_columns) for share in shares]
        self._least_units = math.gcd(batch_columns, *replayed)
        self._unit = batch_columns // self._least_units
        self._unit_replayed = [count // self._least_units for count in replayed]
        self._most_units = (max_columns or batch_columns) // self._unit
        self.queue_columns = batch_columns - sum(replayed)
        """Of the smallest batch, when every source is ready."""
        assert self.queue_columns >= 0, f"the shares {shares} are more than a batch"
        assert self._most_units >= self._least_units, f"max_columns {max_columns} below batch_columns {batch_columns}"

    @property
    def most_replayed(self) -> list[int]:
        """The most columns that each replay source may be asked for."""
        return [count * self._most_units for count in self._unit_replayed]

    def portions(self, ready: Sequence[bool], waiting: int) -> Portions:
        """The next batch when `waiting` columns are in the queue; sources that are not ready leave theirs to it.

        If even the smallest batch needs more of the queue than waits, that batch is the answer.
        """
        replayed = [count if is_ready else 0 for count, is_ready in zip(self._unit_replayed, ready, strict=True)]
        queue = self._unit - sum(replayed)
        units = min(max(waiting // queue, self._least_units), self._most_units) if queue else self._least_units
        lent = sum(self._unit_replayed) - sum(replayed)
        return Portions(queue * units, tuple(count * units for count in replayed), lent * units)


def _whole(columns: float) -> int:
    assert abs(columns - round(columns)) < _EXACT, f"a share of {columns:g} columns of a batch is not a whole number"
    return round(columns)
