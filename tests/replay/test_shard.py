"""Batches from several sources: exact shares, one copy, honest counts."""

import subprocess
import sys

import numpy as np
import pytest

from replay import sources
from replay.candidates import CandidateSchedule
from replay.distance import norm
from replay.mixture import Mixture
from replay.queue import QueueSource
from replay.scoring import Scorer
from replay.shard import ReplayShard
from tests.project.tree import ROOT
from tests.replay.columns import moved_features, numbers, unroll, weights


def uniform(capacity: int = 40, min_fill: int = 1, name: str = "uniform"):
    return sources.uniform(capacity, min_fill=min_fill, rng=np.random.default_rng(0), name=name)


def elite(capacity: int = 40, min_fill: int = 1):
    scorer = Scorer(moved_features, norm(2.0))
    return sources.elite(capacity, min_fill=min_fill, rng=np.random.default_rng(1),
                         candidates=CandidateSchedule(3.0), scorer=scorer)  # fmt: skip


def shard(*replayed, batch_columns: int = 8, max_columns: int | None = None, capacity: int = 64,
          max_policy_lag: int = 100) -> ReplayShard:  # fmt: skip
    queue = QueueSource(capacity, overflow="drop_oldest", max_policy_lag=max_policy_lag)
    return ReplayShard(queue, replayed, batch_columns=batch_columns, max_columns=max_columns)


def test_shares_are_exact_in_every_batch():
    replay = shard((uniform(), 0.25), (elite(), 0.125))
    for first in range(0, 200, 5):
        status = replay.insert(unroll(first, 5, version=first))
        assert status.batch_columns == 5
        batch = replay.next_batch(first + 1, weights(0.1))
        assert batch.online.tolist() == [True] * 5 + [False] * 3
        found = numbers(batch.steps)
        assert found[:5] == list(range(first, first + 5))
        assert len(set(found[5:7])) == 2 and max(found) < first + 5
        assert batch.weight_version.tolist() == [number - number % 5 for number in found]
        assert batch.uses[:5].tolist() == [1] * 5 and (batch.uses[5:] >= 1).all()
        assert batch.metrics["replay/online_share"] == 0.625 and batch.metrics["replay/waiting_share"] == 0.0


def test_the_age_of_scores_is_told_where_there_are_any():
    learner_at, known = 5, weights(0.1)
    scoring, plain = shard((elite(), 0.5)), shard((uniform(), 0.5))
    for replay in (scoring, plain):
        replay.insert(unroll(0, 8, version=learner_at))
    assert scoring.next_batch(learner_at, known).metrics["replay/score_age"] == learner_at - known.version == 4
    assert "replay/score_age" not in plain.next_batch(learner_at, known).metrics


def test_uses_count_the_batches_that_a_column_was_in():
    queue = QueueSource(8, overflow="block", max_policy_lag=0)
    replay = ReplayShard(queue, [(uniform(4), 0.5)], batch_columns=8)
    replay.insert(unroll(0, 4))
    for times in range(1, 4):
        assert replay.next_batch(0).uses.tolist() == [1] * 4 + [times] * 4
        queue.insert(unroll(4, 4))  # the queue alone: the four replayed columns stay


def test_a_source_that_is_not_ready_leaves_its_share_to_the_queue():
    replay = shard((uniform(min_fill=6), 0.25), (elite(min_fill=100, capacity=100), 0.25))
    assert replay.insert(unroll(0, 4)).batch_columns == 8
    assert replay.next_batch(0) is None
    status = replay.insert(unroll(4, 4))
    assert (status.ready, status.batch_columns) == (1, 6)
    batch = replay.next_batch(0)
    assert batch.online.tolist() == [True] * 6 + [False] * 2
    assert batch.metrics["replay/waiting_share"] == 0.25 and batch.metrics["replay/online_share"] == 0.75
    assert batch.metrics["replay/elite/fill"] == 0.08 and batch.metrics["replay/uniform/uses_mean"] == 1.0


def test_a_batch_grows_with_the_queue_and_keeps_its_shares():
    replay = shard((uniform(), 0.5), (uniform(name="second"), 0.25), max_columns=30)
    replay.insert(unroll(0, 16))
    sizes = []
    for first in range(16, 71, 5):
        waiting = replay.insert(unroll(first, 5)).columns
        batch = replay.next_batch(0)
        sizes.append(len(batch.online))
        assert batch.online.sum() * 4 == len(batch.online) == len(numbers(batch.steps))
        assert batch.online.sum() == min(waiting, 7)
    assert max(sizes) == 28 and min(sizes) == 20


def test_without_replay_a_growing_batch_takes_what_waits():
    replay = shard(batch_columns=4, max_columns=9)
    replay.insert(unroll(0, 3))
    assert replay.next_batch(0) is None
    for width, expected in [(1, 4), (6, 6), (20, 9)]:
        assert replay.insert(unroll(0, width)).batch_columns == expected
        assert len(replay.next_batch(0).online) == expected


def test_status_says_what_the_next_batch_takes():
    replay = shard((uniform(min_fill=10), 0.5), max_columns=24)
    for first in range(0, 60, 3):
        status = replay.insert(unroll(first, 3))
        if status.ready:
            batch = replay.next_batch(0)
            assert batch.online.sum() == status.batch_columns
            assert replay.status().columns == status.columns - status.batch_columns
        else:
            assert replay.next_batch(0) is None


def test_replay_alone():
    replay = ReplayShard(None, [(uniform(min_fill=10), 0.5), (elite(min_fill=4), 0.5)], batch_columns=8)
    assert replay.insert(unroll(0, 9))[:4] == (0, 0, 0, 0)
    assert replay.next_batch(0, weights(0.1)) is None
    assert replay.insert(unroll(9, 1))[:4] == (1, 0, 0, 0)
    batches = [replay.next_batch(0, weights(0.1)) for _ in range(5)]
    assert [batch.online.any() for batch in batches] == [False] * 5
    assert [batch.env_steps for batch in batches] == [30, 0, 0, 0, 0]
    assert all(len(numbers(batch.steps)) == 8 for batch in batches)


def test_env_steps_count_once_however_many_sources_there_are():
    replay = shard((uniform(), 0.25), (elite(), 0.25))
    replay.insert(unroll(0, 4, invalid=2))
    status = replay.insert(unroll(4, 4, invalid=1))
    assert (status.env_steps, status.arrived) == (21, 21)
    assert [replay.next_batch(0, weights(0.1)).env_steps, replay.status().arrived] == [21, 21]


def test_a_stale_queue_column_may_still_be_replayed():
    replay = shard((uniform(), 0.5), max_policy_lag=1)
    replay.insert(unroll(0, 8, version=0))
    replay.insert(unroll(8, 4, version=5))
    batch = replay.next_batch(6)
    assert batch.columns_dropped == 8
    assert batch.weight_version[:4].tolist() == [5] * 4 and set(batch.weight_version[4:].tolist()) <= {0, 5}


def test_without_replay_a_batch_is_a_view():
    replay = shard(batch_columns=4)
    replay.insert(unroll(0, 8))
    first, second = replay.next_batch(0), replay.next_batch(0)
    assert first.steps.observation.base is second.steps.observation.base is not None
    assert first.metrics == {} and first.online.all()


def test_a_mixed_batch_outlives_the_next_insert():
    replay = shard((uniform(8), 0.5), capacity=8)
    replay.insert(unroll(0, 8))
    batch = replay.next_batch(0)
    before = numbers(batch.steps)
    replay.insert(unroll(100, 8))
    assert numbers(batch.steps) == before


@pytest.mark.parametrize(
    ("shares", "batch", "most", "unit_sizes"),
    [((0.5,), 32, 40, range(32, 41, 2)), ((0.25, 0.125), 8, 30, (8, 16, 24)), ((1 / 3,), 9, 20, (9, 12, 15, 18))],
)
def test_batches_grow_in_the_smallest_steps_that_keep_the_shares(shares, batch, most, unit_sizes):
    mixture = Mixture(shares, batch_columns=batch, max_columns=most)
    found = [mixture.portions([True] * len(shares), waiting) for waiting in range(200)]
    assert sorted({portions.total for portions in found}) == list(unit_sizes)
    for portions in found:
        assert list(portions.replayed) == [round(share * portions.total) for share in shares]


def test_shares_that_are_no_whole_columns_are_refused():
    with pytest.raises(AssertionError, match="not a whole number"):
        Mixture([0.3], batch_columns=8)
    with pytest.raises(AssertionError, match="more than a batch"):
        Mixture([0.5, 0.75], batch_columns=8)


def test_the_replay_room_needs_no_torch():
    code = "import sys, replay.shard, replay.sources, replay.contents; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
