"""Which columns a full ring keeps."""

from functools import partial

import numpy as np
import pytest

from replay.eviction import evict_most_distant, evict_oldest, evict_reservoir
from replay.ring import ColumnRing
from tests.replay.columns import numbers, unroll

WIDTHS = (4, 1, 3, 5, 2)


def filled(evict, capacity: int, num_columns: int, rng: np.random.Generator) -> ColumnRing:
    """A ring after so many columns in unrolls of several widths."""
    ring, first = ColumnRing(capacity), 0
    while first < num_columns:
        width = min(WIDTHS[first % len(WIDTHS)], num_columns - first)
        insert(ring, evict, first, width, rng)
        first += width
    return ring


def insert(ring: ColumnRing, evict, first: int, width: int, rng: np.random.Generator) -> None:
    slots, columns = evict(ring, width, rng)
    assert len(set(slots.tolist())) == len(slots)
    ring.write(slots, unroll(first, width), columns)


def held(ring: ColumnRing) -> list[int]:
    """The columns' numbers, which are their serials here."""
    slots = ring.filled()
    found = numbers(ring.read(slots))
    assert found == ring.serial[slots].tolist()
    return sorted(found)


@pytest.mark.parametrize("extra", [0, 1, 7, 12, 100])
def test_first_in_first_out_lost_exactly_the_oldest(extra):
    ring = filled(evict_oldest, 12, 12 + extra, np.random.default_rng(0))
    assert held(ring) == list(range(extra, 12 + extra))


@pytest.mark.parametrize("evict", [evict_oldest, partial(evict_most_distant, choices=3)])
@pytest.mark.parametrize("before", [0, 2, 4])
def test_of_an_unroll_wider_than_the_ring_the_last_columns_stay(evict, before):
    rng, ring = np.random.default_rng(0), ColumnRing(4)
    if before:
        insert(ring, evict, 0, before, rng)
    insert(ring, evict, before, 6, rng)
    assert held(ring) == list(range(before + 2, before + 6))


def inclusion_statistic(evict, *, capacity: int, num_columns: int, rings: int) -> float:
    """χ² with num_columns − 1 degrees of freedom if every set of `capacity` columns is as likely as any other."""
    rng, counts = np.random.default_rng(1), np.zeros(num_columns)
    for _ in range(rings):
        ring = ColumnRing(capacity)  # only its book-keeping: these are many
        while ring.seen < num_columns:
            width = min(WIDTHS[ring.seen % len(WIDTHS)], num_columns - ring.seen)
            slots, columns = evict(ring, width, rng)
            ring.serial[slots] = ring.seen + np.arange(width)[columns]
            ring.seen += width
        counts[ring.serial] += 1
    share = capacity / num_columns
    assert counts.sum() == rings * capacity
    variance = rings * share * (1 - share) * num_columns / (num_columns - 1)
    return float(((counts - rings * share) ** 2).sum() / variance)


@pytest.mark.parametrize(("capacity", "num_columns", "rings"), [(10, 40, 1000), (2, 6, 4000)])
def test_a_reservoir_holds_each_column_seen_with_the_same_probability(capacity, num_columns, rings):
    freedom = num_columns - 1
    limit = freedom + 4 * np.sqrt(2 * freedom)  # four standard deviations of χ²
    size = {"capacity": capacity, "num_columns": num_columns, "rings": rings}
    assert inclusion_statistic(evict_reservoir, **size) < limit
    assert inclusion_statistic(evict_oldest, **size) > 100 * limit


def test_a_reservoir_keeps_everything_until_it_is_full():
    assert held(filled(evict_reservoir, 30, 30, np.random.default_rng(2))) == list(range(30))


def test_elite_insertion_replaces_the_most_distant_drawn_and_of_equal_ones_the_oldest():
    rng, ring = np.random.default_rng(3), ColumnRing(6)
    insert(ring, evict_oldest, 0, 6, rng)
    ring.distance[:] = [0.5, 4.0, 1.0, 4.0, 0.0, 2.0]
    evict = partial(evict_most_distant, choices=6)
    for newcomer, lost in [(6, 1), (7, 3), (8, 5)]:
        before = set(held(ring))
        insert(ring, evict, newcomer, 1, rng)
        assert before - set(held(ring)) == {lost}


def test_elite_insertion_fills_empty_slots_first():
    assert held(filled(partial(evict_most_distant, choices=2), 11, 11, np.random.default_rng(4))) == list(range(11))


def test_columns_of_one_unroll_never_replace_each_other():
    for seed in range(50):
        rng, ring = np.random.default_rng(seed), ColumnRing(7)
        insert(ring, evict_oldest, 0, 7, rng)
        ring.distance[:] = rng.integers(0, 3, 7)
        insert(ring, partial(evict_most_distant, choices=3), 7, 5, rng)
        assert set(held(ring)) >= set(range(7, 12)) and len(ring) == 7


def test_elite_insertion_with_one_choice_is_a_uniform_one():
    counts = np.zeros(5)
    rng = np.random.default_rng(5)
    for _ in range(1000):
        ring = ColumnRing(5)
        ring.serial[:], ring.distance[:] = np.arange(5), [0, 9, 1, 2, 3]
        counts[evict_most_distant(ring, 1, rng, choices=1).slots] += 1
    assert np.abs(counts - 200).max() < 4 * np.sqrt(1000 * 0.2 * 0.8)
