"""Recurrences along environments' steps, the return filter and sums over episodes: against plain loops."""

import itertools

import numpy as np
import pytest

from learners.exploration.episode_sums import EpisodeSums
from learners.exploration.return_filter import ReturnFilter
from learners.exploration.streams import Streams

STEPS, ENVS = 4, 3


def origins(actor: int, sequence: int, incarnation: int = 0, envs: int = ENVS) -> np.ndarray:
    return np.stack(np.broadcast_arrays(actor, incarnation, sequence, np.arange(envs)), axis=1)


def test_the_filter_of_two_environments_in_numbers():
    """γ = .99, rewards (1, 2), (0, 1), (3, 0): g is (1, 2), (.99, 2.98), (3.9801, 2.9502)."""
    rewards = np.array([[1, 0, 3], [2, 1, 0]], float)
    filtered = Streams().scan(rewards, np.full((2, 3), 0.99), origins(0, 0, envs=2))
    np.testing.assert_allclose(filtered, [[1, 0.99, 3.9801], [2, 2.98, 2.9502]], rtol=1e-12)
    assert (filtered.mean(), filtered.var()) == (pytest.approx(2.3167166667), pytest.approx(1.2003865614))
    scale = ReturnFilter(0.99)
    scale.add(scale.sums(rewards, origins(0, 0, envs=2)))
    assert scale.std**2 == pytest.approx(1.2004726717, abs=1e-9)


def test_a_recurrence_goes_on_from_unroll_to_unroll_whatever_way_the_columns_come():
    """Two actors, five unrolls each, in batches of any columns in which no unroll comes before an earlier one."""
    rng = np.random.default_rng(0)
    increments, decays = rng.normal(size=(2, ENVS, 5 * STEPS)), rng.random((2, ENVS, 5 * STEPS))
    expected = np.zeros_like(increments)
    for actor, env in np.ndindex(2, ENVS):
        y = 0.0
        for t in range(5 * STEPS):
            y = expected[actor, env, t] = increments[actor, env, t] + decays[actor, env, t] * y
    columns = [(actor, sequence, env) for sequence in range(5) for actor in range(2) for env in range(ENVS)]
    streams, start = Streams(), 0
    for size in itertools.cycle((1, 7, 4)):
        part = columns[start : start + size]
        start += size
        if not part:
            break
        part = [part[index] for index in rng.permutation(len(part))]
        pieces = [(actor, env, slice(sequence * STEPS, (sequence + 1) * STEPS)) for actor, sequence, env in part]
        origin = np.array([(actor, 0, sequence, env) for actor, sequence, env in part])
        out = streams.scan(*(np.stack([array[piece] for piece in pieces]) for array in (increments, decays)), origin)
        np.testing.assert_allclose(out, np.stack([expected[piece] for piece in pieces]), rtol=1e-12)


@pytest.mark.parametrize(
    ("sequence", "incarnation", "goes_on"), [(1, 0, True), (2, 0, False), (1, 1, False), (0, 1, False)]
)
def test_a_gap_and_a_new_incarnation_begin_anew(sequence: int, incarnation: int, goes_on: bool):
    streams, ones = Streams(), np.ones((ENVS, STEPS))
    streams.scan(ones, ones, origins(0, 0))
    out = streams.scan(ones, ones, origins(0, sequence, incarnation))
    np.testing.assert_array_equal(out[:, 0], np.full(ENVS, STEPS + 1 if goes_on else 1))


def test_scaling_all_bonuses_leaves_the_normalised_ones_unchanged():
    """Once the prior has washed out."""
    rng, scales = np.random.default_rng(1), [ReturnFilter(0.9) for _ in range(2)]
    for sequence in range(50):
        bonuses = rng.random((ENVS, STEPS))
        for factor, scale in zip((1.0, 1000.0), scales, strict=True):
            scale.add(scale.sums(factor * bonuses, origins(0, sequence)))
    assert scales[1].std == pytest.approx(1000 * scales[0].std, rel=1e-5)


def test_ranks_with_actors_of_their_own_hold_the_filter_of_one_rank():
    rng, alone, shared = np.random.default_rng(2), ReturnFilter(0.99), [ReturnFilter(0.99) for _ in range(2)]
    for sequence in range(10):
        bonuses = rng.random((2, ENVS, STEPS))
        alone.add(alone.sums(bonuses.reshape(-1, STEPS), np.concatenate([origins(a, sequence) for a in range(2)])))
        sums = sum(shared[actor].sums(bonuses[actor], origins(actor, sequence)) for actor in range(2))
        for rank in shared:
            rank.add(sums)
    assert shared[0].std == shared[1].std == pytest.approx(alone.std, rel=1e-12)


def test_sums_over_episodes_longer_than_unrolls():
    """Bonuses 1, 2, 3, …; episodes begin at observations 0, 3 and 7 of one environment."""
    assert episodes_that_end(first_seen=0) == [(1, 1 + 2 + 3), (1, 4 + 5 + 6 + 7)]


def test_an_episode_that_was_not_seen_from_its_beginning_does_not_count():
    assert episodes_that_end(first_seen=1) == [(0, 0), (1, 4 + 5 + 6 + 7)]


def episodes_that_end(*, first_seen: int) -> list[tuple[int, float]]:
    """How many, and the sum of their sums, in each of two unrolls; the first of them begins in mid-game or not."""
    bonuses = np.arange(1.0, 2 * STEPS + 1)[None]
    is_first = np.isin(np.arange(2 * STEPS + 1), (0, 3, 7)[first_seen:])[None]
    sums, found = EpisodeSums(), []
    for sequence in range(2):
        steps = slice(sequence * STEPS, (sequence + 1) * STEPS)
        firsts = is_first[:, steps.start : steps.stop + 1]
        found.append(sums.add(bonuses[:, steps], firsts, origins(0, sequence, envs=1)))
    return found


def test_what_is_not_finite_is_not_carried_on():
    scale, ones = ReturnFilter(0.99), np.ones((ENVS, STEPS))
    for sequence, bonuses in enumerate((ones, np.where(np.arange(ENVS)[:, None] == 1, np.nan, ones), ones)):
        scale.add(scale.sums(bonuses, origins(0, sequence)))
    assert scale.state_dict()["count"] == pytest.approx(2 * ENVS * STEPS, abs=1e-3)
