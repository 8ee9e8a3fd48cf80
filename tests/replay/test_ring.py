"""Column storage: what is written comes back, in the order asked for, copied or not."""

import numpy as np

from replay.ring import EMPTY, ColumnRing
from rl_platform.core.types import Trajectory
from tests.replay.columns import numbers, unroll


def filled_ring(capacity: int) -> ColumnRing:
    ring = ColumnRing(capacity)
    ring.write(np.arange(capacity), unroll(0, capacity, version=7), slice(None))
    return ring


def test_columns_come_back_in_the_order_asked_for():
    ring = filled_ring(8)
    for slots in ([2], [3, 4, 5], [3, 5, 4, 6], [6, 5, 4], [7, 0, 1]):
        assert numbers(ring.read(np.array(slots))) == slots


def test_neighbours_are_read_without_a_copy_and_others_with_one():
    ring = filled_ring(8)
    first = ring.read(np.arange(8)).observation
    assert np.shares_memory(ring.read(np.array([3, 4, 5])).observation, first)
    assert not np.shares_memory(ring.read(np.array([3, 5])).observation, first)


def test_copies_into_rows_equal_what_is_read():
    ring = filled_ring(8)
    slots = np.array([7, 0, 5, 5, 2])
    rows = ring.blank(6)
    ring.copy_to(slots, Trajectory(*(array[1:] for array in rows)))
    for copied, read in zip(rows, ring.read(slots), strict=True):
        np.testing.assert_array_equal(copied[1:], read)
        assert copied.dtype == read.dtype


def test_a_new_column_is_unused_and_knows_its_origin():
    ring = filled_ring(4)
    ring.uses[:], ring.distance[:] = 3, 2.0
    ring.write(np.array([2, 0]), unroll(4, 3, version=9), np.array([0, 2]))
    assert ring.serial.tolist() == [6, 1, 4, 3] and ring.seen == 7
    assert ring.weight_version.tolist() == [9, 7, 9, 7]
    assert ring.uses.tolist() == [0, 3, 0, 3] and ring.distance.tolist() == [0.0, 2.0, 0.0, 2.0]
    assert ring.newest().tolist() == [0, 2]


def test_an_empty_slot_is_not_counted():
    ring = ColumnRing(5)
    ring.write(np.array([1, 3]), unroll(0, 2), slice(None))
    assert len(ring) == 2 and ring.filled().tolist() == [1, 3] and ring.serial[0] == EMPTY


def test_the_newest_is_the_last_column_held_when_the_last_unroll_left_none():
    ring = filled_ring(4)
    nothing = np.array([], np.int64)
    ring.write(nothing, unroll(4, 3), nothing)
    assert ring.seen == 7 and ring.newest().tolist() == [3]
