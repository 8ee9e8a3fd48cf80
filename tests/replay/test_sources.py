"""Replay sources: what they draw, when they call the model, what they count and what they remember."""

import itertools
import json
from functools import partial

import numpy as np
import pytest

from replay import sources
from replay.candidates import CandidateSchedule
from replay.distance import COSINE, KL, norm
from replay.ring import Stored
from replay.scoring import Scorer
from replay.selection import STRATEGIES
from replay.source import ReplaySource
from tests.replay.columns import moved_features, numbers, random_unroll, unroll, weights

CONSTANT = CandidateSchedule(3.0)
EUCLIDEAN = norm(2.0)


def never(*_):
    raise AssertionError("the model was called")


def scorer(distance=EUCLIDEAN, features=moved_features, stride: int = 1) -> Scorer:
    return Scorer(features, distance, stride)


def elite(capacity=12, *, seed=0, min_fill=1, candidates=CONSTANT, **options) -> ReplaySource:
    scored = options.pop("scorer", scorer())
    rng = np.random.default_rng(seed)
    return sources.elite(capacity, min_fill=min_fill, rng=rng, candidates=candidates, scorer=scored, **options)


def attentive(capacity=12, *, seed=0, candidates=CONSTANT, **options) -> ReplaySource:
    scored = options.pop("scorer", scorer())
    return sources.attentive(
        capacity, min_fill=1, rng=np.random.default_rng(seed), candidates=candidates, scorer=scored
    )


def uniform(capacity=12, *, seed=0, min_fill=1) -> ReplaySource:
    return sources.uniform(capacity, min_fill=min_fill, rng=np.random.default_rng(seed))


def reservoir(capacity=12, *, seed=0) -> ReplaySource:
    return sources.reservoir(capacity, min_fill=1, rng=np.random.default_rng(seed))


def fed(source: ReplaySource, num_columns: int = 12, *, width: int = 4) -> ReplaySource:
    """The source after so many columns with random features, numbered from 0."""
    rng = np.random.default_rng(99)
    for first in range(0, num_columns, width):
        source.insert(random_unroll(rng, first, width, version=first // width))
    return source


@pytest.mark.parametrize("make", [uniform, reservoir, attentive, elite])
def test_no_column_is_in_a_batch_twice(make):
    source = fed(make())
    for count in (1, 5, 12):
        slots = source.draw(count, weights(0.1))
        assert len(set(slots.tolist())) == count


@pytest.mark.parametrize("make", [uniform, partial(elite, candidates=CandidateSchedule(1.0))])
def test_a_uniform_draw_takes_each_column_as_often(make):
    source, counts = fed(make()), np.zeros(12)
    for _ in range(1000):
        counts[source.draw(3, None)] += 1
    assert np.abs(counts - 250).max() < 4 * np.sqrt(1000 * 0.25 * 0.75)


@pytest.mark.parametrize("make", [attentive, elite])
def test_with_lambda_one_or_nothing_to_choose_from_the_model_is_never_called(make):
    uncalled = scorer(features=never)
    at_one = fed(make(candidates=CandidateSchedule(1.0), scorer=uncalled))
    annealed = fed(make(candidates=CandidateSchedule(3.0, anneal_draws=1), scorer=uncalled))
    assert len(annealed.draw(12, None)) == 12  # all that there is: nothing to choose from
    for source in (at_one, annealed):
        assert len(source.draw(4, None)) == 4
        assert source.metrics()[f"replay/{source.name}/lambda"] == 1.0
    with pytest.raises(AssertionError, match="the model was called"):
        fed(make(scorer=uncalled)).draw(2, weights(0.1))


def test_a_draw_that_scores_wants_weights():
    with pytest.raises(AssertionError, match="pass the newest weights"):
        fed(elite()).draw(2, None)


@pytest.mark.parametrize("distance", [EUCLIDEAN, COSINE, KL])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_elite_equals_its_slow_version(distance, strategy):
    """Candidates are those of a generator in the same state; distances column by column, then the strategy in words."""

    def moves(weights, steps, times):
        return steps.features[:, times].astype(np.float32) * weights.vector[0] + np.float32(1.0)

    source = fed(elite(seed=5, strategy=strategy, scorer=scorer(distance, moves, stride=2)))
    source.ring.uses[:] = np.arange(12) % 3
    drawn = np.random.default_rng(5).choice(12, 9, replace=False)
    uses = source.ring.uses.tolist()
    then = source.ring.read(np.arange(12)).features[:, ::2].astype(np.float32)
    away = {slot: float(distance.of_blocks(then[[slot]] * 2 + 1, then[[slot]])[0]) for slot in drawn.tolist()}
    by_distance = sorted(away, key=away.get)
    buckets = [by_distance[k : k + 3] for k in (0, 3, 6)]
    expected = {
        "nearest": by_distance[:3],
        "stratified": by_distance[::3],
        "least_used": sorted(away, key=lambda slot: (uses[slot], away[slot]))[:3],
        "least_used_in_strata": [min(bucket, key=lambda slot: uses[slot]) for bucket in buckets],
    }[strategy]
    assert source.draw(3, weights(2.0)).tolist() == expected
    shown = source.metrics()
    assert shown["replay/elite/candidate_distance_mean"] == pytest.approx(np.mean(list(away.values())), rel=1e-5)
    assert shown["replay/elite/distance_mean"] == pytest.approx(np.mean([away[slot] for slot in expected]), rel=1e-5)


@pytest.mark.parametrize("distance", [EUCLIDEAN, norm(3.0), COSINE, KL])
def test_attentive_equals_its_slow_version(distance):
    source = fed(attentive(seed=5, scorer=scorer(distance, stride=3)))
    drawn = np.random.default_rng(5).choice(12, 9, replace=False).tolist()
    moved = 0.25 * np.arange(12, dtype=np.float32)[:, None, None]
    now = source.ring.read(np.arange(12)).features.astype(np.float32) + moved
    away = {}
    for slot in drawn:
        block = now[slot][[0, 3]]
        copies = [np.stack([now[newest][-1]] * 2) for newest in (8, 9, 10, 11)]
        away[slot] = np.mean([distance.of_blocks(block[None], copy[None])[0] for copy in copies])
    assert source.draw(3, weights(0.25)).tolist() == sorted(away, key=away.get)[:3]


def test_the_current_state_is_that_of_the_newest_unroll():
    """Columns whose features are their number: those next to the newest unroll's are the most similar."""
    source = attentive(20, candidates=CandidateSchedule(20.0))
    for first in (0, 2, 4, 6, 8, 10):
        source.insert(unroll(first, 2))
    still = weights(0.0)
    assert set(numbers(source.ring.read(source.draw(3, still)))) == {9, 10, 11}
    source.insert(unroll(3, 1))
    assert sorted(numbers(source.ring.read(source.draw(4, still)))) == [2, 3, 3, 4]


def test_scores_see_every_stride_th_time():
    seen = []

    def features(weights, steps, times):
        seen.append(times.tolist())
        return moved_features(weights, steps, times)

    fed(elite(scorer=scorer(features=features, stride=3))).draw(2, weights(0.1))
    fed(attentive(scorer=scorer(features=features, stride=3))).draw(2, weights(0.1))
    assert seen == [[0, 3], [3], [0, 3]]


def test_unchanged_weights_move_nothing():
    source = fed(elite())
    source.draw(3, weights(0.0))
    assert source.metrics()["replay/elite/candidate_distance_mean"] == 0.0


def test_elite_without_stored_features_is_refused():
    source = elite()
    source.insert(random_unroll(np.random.default_rng(0), 0, 8, features=0))
    with pytest.raises(AssertionError, match="no features"):
        source.draw(2, weights(0.1))


def test_elite_replays_what_the_network_still_sees_alike():
    """With a drift that grows with a column's number, elite's mean distance is below the candidates'."""
    source = fed(elite(strategy="nearest"))
    source.draw(3, weights(1.0))
    shown = source.metrics()
    assert shown["replay/elite/distance_mean"] < shown["replay/elite/candidate_distance_mean"]


def test_uses_are_counted_and_forgotten_with_the_column():
    source = fed(uniform())
    for _ in range(3):
        source.draw(12, None)
    assert source.metrics()["replay/uniform/uses_mean"] == 3.0
    source.insert(unroll_like(source, 12, 4))
    assert source.ring.uses.tolist() == [0] * 4 + [3] * 8


def unroll_like(source: ReplaySource, first: int, width: int):
    features = source.ring.read(np.array([0])).features.shape[-1]
    return random_unroll(np.random.default_rng(7), first, width, features=features)


def test_least_used_visits_every_column_before_any_a_second_time():
    source = fed(elite(strategy="least_used", candidates=CandidateSchedule(12.0)))
    drawn = [source.draw(3, weights(0.1)).tolist() for _ in range(4)]
    assert sorted(itertools.chain(*drawn)) == list(range(12))


def test_elite_insertion_replaces_what_was_scored_most_distant():
    source = fed(elite(candidates=CandidateSchedule(12.0), insertion_tries=12, strategy="nearest"))
    source.draw(1, weights(1.0))  # all are scored: the distance grows with the number
    source.insert(unroll_like(source, 12, 1))
    source.insert(unroll_like(source, 13, 1))
    assert sorted(numbers(source.ring.read(source.ring.filled()))) == [*range(10), 12, 13]


def test_ready_when_filled():
    source = uniform(min_fill=6)
    assert not source.ready(1)
    fed(source, 4)
    assert not source.ready(4)
    fed(source, 4)
    assert source.ready(1) and source.ready(8) and not source.ready(9)
    assert source.metrics() == {"replay/uniform/fill": 8 / 12}


@pytest.mark.parametrize(
    "make", [uniform, reservoir, partial(attentive, candidates=CandidateSchedule(3.0, 20)),
             partial(elite, candidates=CandidateSchedule(3.0, 20), insertion_tries=3)],
)  # fmt: skip
def test_a_source_goes_on_as_if_it_had_never_stopped(make):
    def goes_on(source: ReplaySource) -> list[list[int]]:
        drawn = []
        for first in range(30, 60, 3):
            source.insert(unroll_like(source, first, 3))
            drawn.append(numbers(source.ring.read(source.draw(3, weights(0.1)))))
        return [*drawn, source.ring.uses.tolist(), source.ring.serial.tolist()]

    first = fed(make(), 28)
    for _ in range(5):
        first.draw(3, weights(0.1))
    state = json.loads(json.dumps(first.state_dict(), default=lambda array: array.tolist()))
    state["ring"] = {key: np.array(value) if isinstance(value, list) else value for key, value in state["ring"].items()}
    second = make(seed=1)
    slots = first.ring.filled()
    second.load_state_dict(state, [Stored(first.ring.serial[slots], first.ring.read(slots))])
    assert goes_on(second) == goes_on(first)


def test_a_source_whose_columns_are_gone_begins_empty_with_its_lambda():
    first = fed(elite(candidates=CandidateSchedule(3.0, 4)))
    first.draw(2, weights(0.1))
    second = fed(elite(candidates=CandidateSchedule(3.0, 4)))
    second.load_state_dict(first.state_dict())
    assert len(second.ring) == 0 and second.ring.seen == 0 and not second.ready(1)
    fed(second).draw(2, weights(0.1))
    assert second.metrics()["replay/elite/lambda"] == 2.5


def test_a_state_of_another_capacity_is_refused():
    with pytest.raises(ValueError, match="set the source's capacity back"):
        uniform(12).load_state_dict(fed(uniform(8), 8).state_dict())
