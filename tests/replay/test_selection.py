"""The strategies: literal checks, and against slow versions on random multisets with ties."""

import numpy as np
import pytest

from replay.selection import STRATEGIES, least_used, least_used_in_strata, nearest, stratified


def slow(strategy: str, distances: list[float], uses: list[int], n: int) -> list[int]:
    """The strategies as elite-vtrace's text has them, candidate by candidate, over distinct candidates."""
    by_distance = sorted(range(len(distances)), key=lambda i: distances[i])  # Python's sort is stable
    size = len(distances) // n
    if strategy == "nearest":
        return by_distance[:n]
    if strategy == "stratified":
        return [by_distance[k * size] for k in range(n)]
    if strategy == "least_used":
        chosen = []
        for count in sorted(set(uses)):
            chosen += [i for i in by_distance if uses[i] == count]
        return chosen[:n]
    buckets = [by_distance[k * size : (k + 1) * size] for k in range(n)]
    return [min(bucket, key=lambda i: uses[i]) for bucket in buckets]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_strategies_equal_their_slow_versions_on_any_multiset(strategy):
    rng = np.random.default_rng(len(strategy))
    for _ in range(300):
        count = int(rng.integers(1, 40))
        n = int(rng.integers(1, count + 1))
        distances = rng.integers(0, rng.integers(1, 12), count).astype(np.float32)
        uses = rng.integers(0, rng.integers(1, 5), count).astype(np.int32)
        chosen = STRATEGIES[strategy](distances, uses, n).tolist()
        assert chosen == slow(strategy, distances.tolist(), uses.tolist(), n)
        assert len(set(chosen)) == n


def test_closest():
    distances = np.array([3.0, 1, 2, 5, 4, 0])
    assert distances[nearest(distances, np.zeros(6, int), 2)].tolist() == [0, 1]


def test_stratified_takes_every_third():
    distances = np.array([3.0, 1, 2, 5, 4, 0, 6])
    assert distances[stratified(distances, np.zeros(7, int), 2)].tolist() == [0, 3]


def test_least_used_comes_before_closest():
    assert least_used(np.array([0.0, 5, 3]), np.array([2, 1, 1]), 2).tolist() == [2, 1]


def test_least_used_of_each_bucket():
    distances, uses = np.array([0.0, 1, 2, 3, 4]), np.array([2, 1, 5, 5, 0])
    assert least_used_in_strata(distances, uses, 2).tolist() == [1, 2]  # the fifth candidate is in no bucket


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_equal_candidates_keep_their_order(strategy):
    chosen = STRATEGIES[strategy](np.zeros(9), np.ones(9, int), 3).tolist()
    assert chosen == sorted(chosen) and len(chosen) == 3 and chosen[0] == 0


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_too_few_candidates_are_refused(strategy):
    with pytest.raises(AssertionError):
        STRATEGIES[strategy](np.zeros(2), np.zeros(2, int), 3)
