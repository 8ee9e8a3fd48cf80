"""The random policy."""

import numpy as np
import pytest

from actors.uniform_policy import UniformPolicy
from rl_platform.core.interfaces import PolicyStep
from rl_platform.core.spec import ActionSpec

NUM_ENVS = 4000
CHOICES = ActionSpec("categorical", 5)
BOUNDED = ActionSpec("gaussian", 2, low=(-2.0, 0.5), high=(2.0, 0.75))
UNBOUNDED = ActionSpec("gaussian", 2)
ONE_BOUNDED = ActionSpec("gaussian", 3, low=(-np.inf, -1.0, 0.0), high=(np.inf, 1.0, np.inf))


def step(action: ActionSpec, seed: int = 0) -> PolicyStep:
    return UniformPolicy(action, seed).act(np.zeros((NUM_ENVS, 3)), np.zeros(NUM_ENVS, bool), np.zeros((NUM_ENVS, 0)))


@pytest.mark.parametrize(("action", "num_params"), [(CHOICES, 5), (BOUNDED, 4), (UNBOUNDED, 4), (ONE_BOUNDED, 6)])
def test_shapes_and_dtypes(action: ActionSpec, num_params: int):
    drawn = step(action)
    assert [(array.shape, array.dtype.name) for array in drawn[:4]] == [
        ((NUM_ENVS, *action.shape), action.dtype),
        ((NUM_ENVS, num_params), "float32"),
        ((NUM_ENVS, 1), "float32"),
        ((NUM_ENVS, 0), "float16"),
    ]
    assert not drawn.behaviour.any() and not drawn.value.any()


def test_choices_are_equally_likely():
    counts = np.bincount(step(CHOICES).action, minlength=5)
    assert ((counts - NUM_ENVS / 5) ** 2 / (NUM_ENVS / 5)).sum() < 18.47  # χ², 4 degrees of freedom, p = 0.001


def test_bounded_numbers_are_uniform_between_their_bounds():
    """The largest distance of the empirical distribution function from the line (Kolmogorov, p = 0.001)."""
    action = step(BOUNDED).action
    place = np.sort((action - np.array(BOUNDED.low)) / np.subtract(BOUNDED.high, BOUNDED.low), axis=0)
    assert place.min() >= 0 and place.max() <= 1
    expected = (np.arange(NUM_ENVS) + 0.5)[:, None] / NUM_ENVS
    assert np.abs(place - expected).max() < 1.95 / NUM_ENVS**0.5


def test_numbers_without_a_bound_are_standard_normal():
    for action, unbounded in [(UNBOUNDED, [0, 1]), (ONE_BOUNDED, [0, 2])]:
        numbers = step(action).action[:, unbounded]
        np.testing.assert_allclose(numbers.mean(0), 0, atol=4 / NUM_ENVS**0.5)
        np.testing.assert_allclose(numbers.std(0), 1, atol=4 / (2 * NUM_ENVS) ** 0.5)
    assert np.abs(step(ONE_BOUNDED).action[:, 1]).max() <= 1


@pytest.mark.parametrize("action", [CHOICES, BOUNDED, UNBOUNDED])
def test_the_seed_alone_decides(action: ActionSpec):
    assert np.array_equal(step(action, seed=1).action, step(action, seed=1).action)
    assert not np.array_equal(step(action, seed=1).action, step(action, seed=2).action)
