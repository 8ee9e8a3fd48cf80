"""How columns pass through the queue: what batches take, what they leave, and how old an unroll may so become."""

import math
from itertools import combinations
from typing import NamedTuple


class QueueFlow(NamedTuple):
    """Whole unrolls come in, batches go out."""

    unroll: int
    """Columns of an unroll."""
    batch: int
    """Columns of the smallest batch."""
    replayed: tuple[int, ...] = ()
    """How many of these each replay source has; one that is not ready leaves its own to the queue."""
    max_columns: int | None = None
    """Columns that no batch has more of; None: every one has `batch`."""

    @property
    def share(self) -> int:
        """Columns that the smallest batch takes from the queue when every source is ready."""
        return self.batch - sum(self.replayed)

    @property
    def step(self) -> int:
        """Columns by which a batch can grow: the fewest of which every source has its exact share."""
        return self.batch // math.gcd(self.batch, *self.replayed)

    @property
    def most_replayed(self) -> tuple[int, ...]:
        """How many columns each replay source has of the largest batch."""
        steps = (self.max_columns or self.batch) // self.step
        return tuple(columns * self.step // self.batch * steps for columns in self.replayed)

    def most_waiting(self) -> int:
        """Most columns that can wait without filling a batch: what is left of whole unrolls after whole batches.

        A batch takes the more from the queue the fewer sources are ready. They become so one after the other, so that
        what waits when a batch takes `columns` was left by batches that took as many or more.
        """
        takes = self._takes()
        return max(
            columns - math.gcd(self.unroll, *(step for taken, step in takes.items() if taken >= columns))
            for columns in takes
        )

    def policy_lag(self) -> int:
        """Updates that may come before the one that uses the last column of an unroll begun now."""
        return (self.most_waiting() + self.unroll - 1) // self.share

    def _takes(self) -> dict[int, int]:
        """What a smallest batch may take from the queue, any sources being ready, and by which steps it grows."""
        units = 1 if self.max_columns is None else self.batch // self.step
        ready = (subset for size in range(len(self.replayed) + 1) for subset in combinations(self.replayed, size))
        return {taken: taken // units for taken in (self.batch - sum(subset) for subset in ready)}
