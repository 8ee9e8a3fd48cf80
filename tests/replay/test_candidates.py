"""λ: how many candidates a draw compares."""

import numpy as np
import pytest

from replay.candidates import CandidateSchedule, num_candidates


def test_lambda_falls_linearly_to_one_and_stays():
    schedule = CandidateSchedule(6.0, anneal_draws=20_000)
    assert schedule.multiplier(0) == 6.0
    assert schedule.multiplier(1) == pytest.approx(5.99975)
    assert schedule.multiplier(10_000) == pytest.approx(3.5)
    assert schedule.multiplier(20_000) == pytest.approx(1.0) and schedule.multiplier(10**9) == 1.0


def test_without_annealing_it_stays():
    assert CandidateSchedule(6.0).multiplier(10**9) == 6.0


def test_lambda_equals_the_step_by_step_recurrence():
    schedule, value = CandidateSchedule(4.0, anneal_draws=700), 4.0
    for draws in range(1000):
        assert schedule.multiplier(draws) == pytest.approx(value, abs=1e-9)
        value = max(1.0, value - 3.0 / 700)


@pytest.mark.parametrize(
    ("multiplier", "columns", "held", "expected"),
    [(6.0, 5, 1000, 30), (5.99975, 5, 1000, 29), (1.15, 100, 1000, 115), (6.0, 5, 12, 12), (1.0, 7, 7, 7)],
)
def test_candidates(multiplier, columns, held, expected):
    assert num_candidates(multiplier, columns, held) == expected


def test_there_are_always_enough_candidates():
    rng = np.random.default_rng(0)
    for columns in range(1, 200):
        assert num_candidates(1.0 + rng.random() * 1e-12, columns, 10_000) == columns
