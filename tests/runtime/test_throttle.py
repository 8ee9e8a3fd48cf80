"""The throttle's prediction is the lag that a simulated pipeline then shows."""

import random

import pytest

from rl_platform.runtime.throttle import Throttle


@pytest.mark.parametrize(
    ("ahead", "begun", "version", "lag"),
    [(0, 5, 5, 0), (0, 6, 5, 1), (32, 5, 5, 1), (31, 5, 5, 1), (1, 5, 5, 1), (64, 7, 5, 4)],
)
def test_predicted_lag_literals(ahead, begun, version, lag):
    throttle = Throttle(batch_columns=32, unroll_columns=32, max_policy_lag=8, capacity=None)
    assert throttle.predicted_lag(columns_ahead=ahead, updates_begun=begun, weight_version=version) == lag


def test_two_half_width_actors_fit_one_batch_at_lag_zero():
    throttle = Throttle(batch_columns=32, unroll_columns=16, max_policy_lag=0, capacity=None)
    assert throttle.may_collect(columns_ahead=0, updates_begun=3, weight_version=3)
    assert throttle.may_collect(columns_ahead=16, updates_begun=3, weight_version=3)
    assert not throttle.may_collect(columns_ahead=32, updates_begun=3, weight_version=3)


def test_no_more_is_collected_than_the_queue_holds():
    throttle = Throttle(batch_columns=64, unroll_columns=32, max_policy_lag=100, capacity=64)
    assert throttle.may_collect(columns_ahead=32, updates_begun=0, weight_version=0)
    assert not throttle.may_collect(columns_ahead=33, updates_begun=0, weight_version=0)


@pytest.mark.parametrize("seed", range(20))
def test_no_column_is_used_at_a_greater_lag_than_allowed(seed):
    """A pipeline with random delays: unrolls, updates and weights advance whenever they like."""
    chance = random.Random(seed)
    batch, columns = chance.choice([(32, 32), (32, 16), (16, 32), (24, 8)])
    limit = max(chance.randrange(6), -(-columns // batch) - 1)  # below that the last columns of an unroll are too old
    throttle = Throttle(batch_columns=batch, unroll_columns=columns, max_policy_lag=limit, capacity=None)
    queue: list[int] = []
    collecting: list[int] = []
    begun = version = used = 0
    for _ in range(2000):
        action = chance.choice(["ask", "arrive", "update", "finish"])
        ahead = len(queue) + len(collecting) * columns
        if action == "ask" and throttle.may_collect(columns_ahead=ahead, updates_begun=begun, weight_version=version):
            collecting.append(version)
        elif action == "arrive" and collecting:
            queue += [collecting.pop(0)] * columns
        elif action == "update" and len(queue) >= batch:
            taken, queue = queue[:batch], queue[batch:]
            assert begun - min(taken) <= limit
            begun, used = begun + 1, used + 1
        elif action == "finish" and version < begun:
            version += 1
    assert used > 20
