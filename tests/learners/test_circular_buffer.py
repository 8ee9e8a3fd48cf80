"""The circular buffer: exact reuse, order, the number of items a push serves, and what stays in memory."""

import weakref
from collections import Counter

import pytest

from learners.circular_buffer import CircularBuffer

SIZES = [(1, 1), (1, 3), (2, 1), (2, 2), (2, 3), (3, 2), (4, 2), (4, 4), (3, 5), (5, 3), (8, 2)]
"""Capacity and uses."""


def serve(capacity, uses, pushes):
    """What each push of 0, 1, 2, … serves, as (item, uses before)."""
    buffer = CircularBuffer(capacity, uses)
    return [[tuple(served) for served in buffer.push(item)] for item in range(pushes)]


def test_each_once_when_it_comes():
    assert serve(1, 1, 4) == [[(0, 0)], [(1, 0)], [(2, 0)], [(3, 0)]]
    assert serve(5, 1, 7) == [[(item, 0)] for item in range(7)]


def test_one_place_repeats_an_item_before_the_next():
    assert serve(1, 3, 2) == [[(0, 0), (0, 1), (0, 2)], [(1, 0), (1, 1), (1, 2)]]


def test_four_places_and_two_uses():
    """From the fourth on, the new one and the oldest."""
    assert serve(4, 2, 6) == [
        [(0, 0)],
        [(1, 0)],
        [(2, 0)],
        [(3, 0), (0, 1)],
        [(4, 0), (1, 1)],
        [(5, 0), (2, 1)],
    ]


def test_the_least_used_is_next_and_of_these_the_oldest():
    assert serve(2, 3, 4) == [
        [(0, 0)],
        [(1, 0), (0, 1), (1, 1), (0, 2)],
        [(2, 0), (2, 1), (1, 2)],
        [(3, 0), (3, 1), (2, 2)],
    ]


@pytest.mark.parametrize(("capacity", "uses"), SIZES)
def test_every_item_that_leaves_was_served_exactly_so_often(capacity, uses):
    """All but the last capacity − 1 items have left; those have one use to come."""
    pushes = 5 * capacity + 3
    counts = Counter(item for served in serve(capacity, uses, pushes) for item, _ in served)
    waiting = capacity - 1 if uses > 1 else 0
    expected = {item: uses if item < pushes - waiting else uses - 1 for item in range(pushes)}
    assert counts == expected


@pytest.mark.parametrize(("capacity", "uses"), SIZES)
def test_uses_count_up_from_zero(capacity, uses):
    before = Counter()
    for served in serve(capacity, uses, 4 * capacity):
        for item, uses_before in served:
            assert uses_before == before[item] < uses
            before[item] += 1
    assert before[0] == uses


@pytest.mark.parametrize(("capacity", "uses"), SIZES)
def test_every_push_serves_the_new_item_first(capacity, uses):
    assert [served[0] for served in serve(capacity, uses, 3 * capacity)] == [(item, 0) for item in range(3 * capacity)]


@pytest.mark.parametrize(("capacity", "uses"), [size for size in SIZES if size[1] > 1])
def test_how_many_a_push_serves(capacity, uses):
    """One while it fills; then as many as bring all N items to K − 1 uses and the oldest to K; from there on K."""
    draws = [len(served) for served in serve(capacity, uses, 4 * capacity)]
    catching_up = capacity * (uses - 1) + 1 - (capacity - 1)
    assert draws == [1] * (capacity - 1) + [catching_up] + [uses] * (3 * capacity)


class Recorded:
    """An item that a weak reference can watch."""


@pytest.mark.parametrize(("capacity", "uses"), SIZES)
def test_what_has_left_is_not_kept(capacity, uses):
    buffer, watched = CircularBuffer(capacity, uses), []
    for _ in range(3 * capacity + 2):
        item = Recorded()
        watched.append(weakref.ref(item))
        buffer.push(item)
        del item
        alive = sum(reference() is not None for reference in watched)
        assert alive == len(buffer) <= capacity - 1
