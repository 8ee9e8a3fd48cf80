"""Which slots of a ring the columns of a new unroll take: pure functions over what the ring holds."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from replay.ring import EMPTY, ColumnRing


class Placement(NamedTuple):
    """k columns of an unroll and where they go; the unroll's other columns are not kept."""

    slots: np.ndarray
    """[k] int64, distinct."""
    columns: slice | np.ndarray
    """The k columns of the unroll."""


Eviction = Callable[[ColumnRing, int, np.random.Generator], Placement]
"""(ring, columns of the unroll, generator) → placement."""


def evict_oldest(ring: ColumnRing, num_columns: int, rng: np.random.Generator) -> Placement:
    """First in, first out. Of an unroll wider than the ring the last columns are kept. Draws nothing from `rng`."""
    kept = _newest_that_fit(ring, num_columns)
    return Placement((ring.seen + np.arange(kept.start, kept.stop)) % ring.capacity, kept)


def evict_reservoir(ring: ColumnRing, num_columns: int, rng: np.random.Generator) -> Placement:
    """Keep a uniform sample of all columns seen: after M columns each is held with probability capacity / M.

    Algorithm R (Vitter 1985): column i (from 0) replaces slot j, uniform in 0 … i, if there is such a slot. CLEAR
    (Rolnick et al. 2019) draws its replay from such a sample, so that old tasks stay as present as new ones.
    """
    number = ring.seen + np.arange(num_columns)
    slots = np.where(number < ring.capacity, number, rng.integers(0, number + 1))
    last = {slot: column for column, slot in enumerate(slots.tolist()) if slot < ring.capacity}
    return Placement(np.array(list(last), np.int64), np.array(list(last.values()), np.int64))


def evict_most_distant(ring: ColumnRing, num_columns: int, rng: np.random.Generator, *, choices: int) -> Placement:
    """Elite insertion: when full, each new column replaces the most distant of `choices` randomly drawn slots.

    Distances are the last known ones; of equal ones the oldest column goes. The draws for the columns of one unroll
    are disjoint (and smaller where the ring is too small for that), so none of them can replace another.

    Differs from elite-vtrace: it computes the distances of the drawn columns anew at each insertion; here insertion
    never calls the model.
    """
    kept = _newest_that_fit(ring, num_columns)
    empty = np.flatnonzero(ring.serial == EMPTY)[: kept.stop - kept.start]
    num_evicted = kept.stop - kept.start - len(empty)
    if num_evicted == 0:
        return Placement(empty, kept)
    filled = ring.filled()
    drawn = rng.choice(filled, (num_evicted, min(choices, len(filled) // num_evicted)), replace=False)
    first = np.lexsort((ring.serial[drawn], -ring.distance[drawn]))[:, :1]
    return Placement(np.concatenate([empty, np.take_along_axis(drawn, first, axis=1)[:, 0]]), kept)


def _newest_that_fit(ring: ColumnRing, num_columns: int) -> slice:
    return slice(max(0, num_columns - ring.capacity), num_columns)
