"""The on-policy queue and the shard: each column once, in order, with exact counts."""

import numpy as np
import pytest

from replay.queue import QueueSource
from replay.shard import ReplayShard
from tests.replay.columns import numbers as column_numbers
from tests.replay.columns import unroll


def shard(capacity: int, batch_columns: int, *, overflow="block", max_policy_lag: int = 100) -> ReplayShard:
    queue = QueueSource(capacity, overflow=overflow, max_policy_lag=max_policy_lag)
    return ReplayShard(queue, batch_columns=batch_columns)


def numbers(batch) -> list[int]:
    np.testing.assert_array_equal(batch.steps.memory[:, 0], batch.steps.previous_action)
    return column_numbers(batch.steps)


def test_every_column_leaves_once_and_in_order_across_many_wraparounds():
    replay, produced, consumed = shard(10, 3), 0, []
    for width in [4, 2, 4, 1, 3, 4, 4, 2, 1, 4] * 20:
        while replay.status().columns + width > 10:
            consumed += numbers(replay.next_batch(0))
        replay.insert(unroll(produced % 200, width))
        produced += width
    while replay.status().ready:
        consumed += numbers(replay.next_batch(0))
    assert produced - len(consumed) < 3
    lengths = [4, 2, 4, 1, 3, 4, 4, 2, 1, 4] * 20
    starts = np.cumsum([0, *lengths[:-1]])
    expected = [start % 200 + k for start, width in zip(starts, lengths, strict=True) for k in range(width)]
    assert consumed == expected[: len(consumed)]


def test_a_batch_is_columns_first():
    replay = shard(8, 2)
    replay.insert(unroll(0, 4, steps=5))
    steps = replay.next_batch(0).steps
    assert steps.observation.shape == (2, 9, 2) and steps.is_first.shape == (2, 6)
    assert steps.action.shape == (2, 5) and steps.behaviour.shape == (2, 5, 1) and steps.memory.shape == (2, 1)


def test_no_batch_before_enough_columns_wait():
    replay = shard(8, 4)
    assert replay.insert(unroll(0, 3)).ready == 0
    assert replay.next_batch(0) is None
    assert replay.insert(unroll(3, 1)).ready == 1


def test_blocking_queue_refuses_to_be_overrun():
    replay = shard(4, 2)
    replay.insert(unroll(0, 4))
    with pytest.raises(AssertionError, match="overrun by 1"):
        replay.insert(unroll(4, 1))


def test_dropping_queue_keeps_the_newest_and_counts():
    replay = shard(4, 4, overflow="drop_oldest")
    for start in (0, 3, 6):
        replay.insert(unroll(start, 3))
    batch = replay.next_batch(0)
    assert numbers(batch) == [5, 6, 7, 8] and batch.columns_dropped == 5


def test_an_unroll_wider_than_a_dropping_queue_leaves_its_last_columns():
    replay = shard(4, 4, overflow="drop_oldest")
    replay.insert(unroll(0, 6))
    batch = replay.next_batch(0)
    assert numbers(batch) == [2, 3, 4, 5] and batch.columns_dropped == 2


def test_stale_columns_are_dropped_and_counted_not_served():
    replay = shard(8, 2, max_policy_lag=3)
    replay.insert(unroll(0, 3, version=1))
    replay.insert(unroll(3, 2, version=2))
    batch = replay.next_batch(5)
    assert numbers(batch) == [3, 4] and batch.columns_dropped == 3
    assert batch.weight_version.tolist() == [2, 2]


def test_env_steps_count_each_valid_transition_once_even_when_dropped():
    replay = shard(8, 2, max_policy_lag=0)
    replay.insert(unroll(0, 2, version=0, invalid=1))  # 5 valid transitions, all dropped below
    assert replay.insert(unroll(2, 4, version=1, invalid=2)).env_steps == 15  # 10 more
    assert [replay.next_batch(1).env_steps, replay.next_batch(1).env_steps] == [15, 0]


def test_a_stale_column_behind_a_fresh_one_is_dropped_too_and_the_order_stays():
    replay = shard(8, 2, max_policy_lag=0)
    for start, version in ((0, 3), (3, 5), (5, 4), (6, 5)):
        replay.insert(unroll(start, {0: 3, 3: 2, 5: 1, 6: 2}[start], version=version))
    batches = [replay.next_batch(5), replay.next_batch(5)]
    assert [numbers(batch) for batch in batches] == [[3, 4], [6, 7]]
    assert [batch.columns_dropped for batch in batches] == [4, 0]
    assert all((batch.weight_version == 5).all() for batch in batches)


def test_the_queue_itself_drops_what_is_stale():
    queue = QueueSource(8, overflow="block", max_policy_lag=3)
    queue.insert(unroll(0, 3, version=1))
    queue.insert(unroll(3, 3, version=2))
    assert queue.drop_stale(5) == 3
    slots = queue.draw(2)
    assert column_numbers(queue.ring.read(slots)) == [3, 4]
    assert queue.ring.weight_version[slots].tolist() == [2, 2]
    assert len(queue) == 1 and queue.take_dropped() == 3
