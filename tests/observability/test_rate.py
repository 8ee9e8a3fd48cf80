"""Rates on literal times."""

import math

import pytest

from rl_platform.observability.rate import Commit, StepRate


def test_steady_rate_leaves_out_the_first_ten_updates():
    rate = StepRate()
    for update in range(1, 11):  # start-up: 5 s an update
        rate.add(Commit(time_s=5.0 * update, env_steps=100 * update))
    assert math.isnan(rate.steady())
    for update in range(11, 21):  # then 0.5 s an update
        rate.add(Commit(time_s=50.0 + 0.5 * (update - 10), env_steps=100 * update))
    assert rate.steady() == 1000 / 5.0


def test_steady_rate_covers_a_pause_between_updates():
    rate = StepRate()
    for update in range(1, 12):
        rate.add(Commit(time_s=float(update), env_steps=100 * update))
    rate.add(Commit(time_s=31.0, env_steps=2200))  # 20 s of nothing since update 11
    assert rate.steady() == (2200 - 1000) / (31.0 - 10.0)


def test_recent_rate_forgets_what_is_older_than_its_window():
    rate = StepRate()
    rate.add(Commit(time_s=0.0, env_steps=0))
    rate.add(Commit(time_s=10.0, env_steps=50_000))
    assert rate.recent(now_s=10.0) == 5000
    for second in range(11, 61):
        rate.add(Commit(time_s=float(second), env_steps=50_000 + 100 * (second - 10)))
    assert rate.recent(now_s=60.0) == 100


def test_recent_rate_falls_to_zero_when_updates_stop():
    rate = StepRate()
    for second in range(1, 11):
        rate.add(Commit(time_s=float(second), env_steps=100 * second))
    assert rate.recent(now_s=19.0) == 900 / 18
    assert rate.recent(now_s=100.0) == 0


def test_recent_rate_needs_two_updates():
    rate = StepRate()
    rate.add(Commit(time_s=1.0, env_steps=100))
    assert math.isnan(rate.recent(now_s=2.0))


def test_steady_rate_carries_on_over_a_resume():
    first = StepRate()
    for update in range(1, 21):  # 1000 env steps in 10 s after warm-up
        first.add(Commit(time_s=float(update), env_steps=100 * update))
    second = StepRate()
    second.load_state_dict(first.state_dict())
    assert second.steady() == 100
    for update in range(1, 21):  # another clock; 3000 env steps in 10 s after warm-up
        second.add(Commit(time_s=700.0 + update, env_steps=2000 + 300 * update))
    assert second.steady() == pytest.approx((1000 + 3000) / (10 + 10), rel=1e-12)
