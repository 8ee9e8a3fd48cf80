"""Running moments of observations, and the normaliser that the learner sets from them."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from learners.learner import Learner
from learners.moments import RunningMoments, new_observations
from rl_platform.core.schedule import Schedule
from rl_platform.core.types import Batch
from tests.learners.small_learner import COLUMNS, STEPS, VECTORS, batch, changed, hard_batch, learner, optimizer_steps

SIZE = 3


def observed(seed: int, *, mean: float = 0.0, std: float = 1.0) -> Batch:
    """Observations of another scale, float32 like an environment's; half the columns are replayed."""
    made = hard_batch(seed, replayed=slice(0, COLUMNS, 2))
    observation = (made.steps.observation * std + mean).astype(np.float32)
    return made._replace(steps=made.steps._replace(observation=observation))


def moments_of(batches: list[Batch]) -> RunningMoments:
    moments = RunningMoments(SIZE)
    for made in batches:
        moments.add(moments.sums(new_observations(made)))
    return moments


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (1000.0, 0.1), (-3.0, 50.0)])
def test_moments_are_those_of_all_observations(mean: float, std: float):
    """A mean of ten thousand standard deviations costs no digits: sums are taken about the running mean."""
    batches = [observed(seed, mean=mean + seed, std=std) for seed in range(20)]
    moments, everything = moments_of(batches), np.concatenate([new_observations(made) for made in batches])
    np.testing.assert_allclose(moments.mean, everything.mean(0), rtol=1e-12)
    np.testing.assert_allclose(moments.std, everything.std(0), rtol=1e-8)


def test_new_observations_are_the_online_ones_that_actions_were_chosen_from():
    made = observed(0)
    expected = [made.steps.observation[column, t] for column in range(1, COLUMNS, 2) for t in range(STEPS)
                if made.steps.valid[column, t]]  # fmt: skip
    assert np.array_equal(new_observations(made), expected)
    assert new_observations(made).dtype == torch.float64


def test_ranks_that_add_up_their_sums_hold_the_same_as_one():
    shared, alone = (RunningMoments(SIZE) for _ in range(2))
    for seed in range(0, 10, 2):
        left, right = observed(seed, mean=5.0), observed(seed + 1, mean=5.0)
        sums = shared.sums(new_observations(left)) + shared.sums(new_observations(right))
        shared.add(sums)
        steps = type(left.steps)(*map(np.concatenate, zip(left.steps, right.steps, strict=True)))
        both = left._replace(steps=steps, online=np.concatenate([left.online, right.online]))
        alone.add(alone.sums(new_observations(both)))
    np.testing.assert_allclose(shared.mean, alone.mean, rtol=1e-13)
    np.testing.assert_allclose(shared.std, alone.std, rtol=1e-13)


def test_nothing_and_what_is_not_finite_change_nothing():
    moments = RunningMoments(SIZE)
    assert moments.mean.tolist() == [0] * SIZE and moments.std.tolist() == [1] * SIZE
    moments.add(moments.sums(None))
    assert moments.std.tolist() == [1] * SIZE
    moments.add(moments.sums(new_observations(observed(0))))
    before = moments.state_dict()
    poisoned = observed(1)
    observation = changed(poisoned.steps.observation, math.nan, at=(1, 0))
    poisoned = poisoned._replace(steps=poisoned.steps._replace(observation=observation))
    moments.add(moments.sums(new_observations(poisoned)))
    moments.add(moments.sums(None))
    assert same(moments.state_dict(), before)


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(np.array_equal(one[name], other[name]) for name in one.keys() | other.keys())


def test_state_round_trips_and_is_a_copy():
    first, second = moments_of([observed(0)]), RunningMoments(SIZE)
    state = first.state_dict()
    second.load_state_dict(state)
    for moments in (first, second):
        moments.add(moments.sums(new_observations(observed(1))))
    assert same(first.state_dict(), second.state_dict())
    assert not same(first.state_dict(), state)
    with pytest.raises(AssertionError):
        RunningMoments(SIZE + 1).load_state_dict(state)


def normalizer(learning: Learner) -> tuple[np.ndarray, np.ndarray]:
    arrays = learning.state_dict()["model"]
    return arrays["normalizer.mean"], arrays["normalizer.std"]


@pytest.mark.parametrize("settings", [{}, {"estimator": "gae", "objective": "ppo", "epochs": 2, "minibatches": 2}])
def test_the_learner_normalises_by_what_it_has_seen(settings: dict[str, Any]):
    """No optimiser moves the moments, which are all observations' so far."""
    learning = learner(VECTORS, normalize_observations=True, **settings)
    batches = [observed(seed, mean=4.0, std=3.0) for seed in range(4)]
    for count, made in enumerate(batches, start=1):
        learning.update(made)
        everything = np.concatenate([new_observations(each) for each in batches[:count]])
        mean, std = normalizer(learning)
        np.testing.assert_allclose(mean, everything.mean(0), rtol=1e-6)
        np.testing.assert_allclose(std, everything.std(0), rtol=1e-6)
    assert optimizer_steps(learning) >= 4


def test_moments_take_effect_at_the_end_of_an_update():
    """The first update computes as without a normaliser, the second as on observations normalised by hand."""
    made = [observed(seed, mean=1.0, std=2.0) for seed in range(2)]
    settings = {"learning_rate": Schedule(0.0)}
    normalising, plain = learner(VECTORS, normalize_observations=True, **settings), learner(VECTORS, **settings)
    assert normalising.update(made[0]).metrics == pytest.approx(plain.update(made[0]).metrics, rel=1e-5)
    mean, std = normalizer(normalising)
    by_hand = made[1]._replace(steps=made[1].steps._replace(observation=(made[1].steps.observation - mean) / std))
    assert normalising.update(made[1]).metrics == pytest.approx(plain.update(by_hand).metrics, rel=1e-5)


def test_reused_batches_are_counted_once():
    learning = learner(VECTORS, normalize_observations=True, epochs=3)
    made = batch()
    learning.update(made)
    assert learning.state_dict()["observation_moments"]["count"] == STEPS * COLUMNS
    learning.update(made._replace(online=np.zeros(COLUMNS, bool)))
    assert learning.state_dict()["observation_moments"]["count"] == STEPS * COLUMNS
