"""Columns that can be told apart, for the tests of this folder."""

import numpy as np

from rl_platform.core.types import Origin, Trajectory, Unroll, Weights


def unroll(first_column: int, num_columns: int, *, version: int = 0, steps: int = 3, invalid: int = 0) -> Unroll:
    """Columns that carry their number in every field; the first `invalid` transitions are invalid."""
    number = np.arange(first_column, first_column + num_columns)
    rows = np.broadcast_to(number, (steps, num_columns))
    valid = np.ones((steps, num_columns), bool)
    valid.reshape(-1)[:invalid] = False
    trajectory = Trajectory(
        observation=np.broadcast_to(number[None, :, None], (steps + 4, num_columns, 2)).astype(np.uint8),
        is_first=np.zeros((steps + 1, num_columns), bool),
        action=rows.astype(np.int64),
        reward=rows.astype(np.float32),
        terminated=np.zeros((steps, num_columns), bool),
        truncated=np.zeros((steps, num_columns), bool),
        valid=valid,
        behaviour=rows[..., None].astype(np.float32),
        value=rows[..., None].astype(np.float32),
        features=rows[..., None].astype(np.float16),
        memory=number[:, None].astype(np.float32),
        previous_action=number.astype(np.int64),
        previous_reward=number.astype(np.float32),
        task=np.zeros(num_columns, np.int32),
    )
    return Unroll(trajectory, Origin(0, 0, 0, version))


def random_unroll(rng: np.random.Generator, first_column: int, num_columns: int, *, version: int = 0, steps: int = 4,
                  features: int = 3) -> Unroll:  # fmt: skip
    """As `unroll`, with random features, and memory of width 0."""
    made = unroll(first_column, num_columns, version=version, steps=steps)
    shape = (steps, num_columns, features)
    return made._replace(
        steps=made.steps._replace(
            features=rng.normal(size=shape).astype(np.float16), memory=np.zeros((num_columns, 0), np.float32)
        )
    )


def numbers(steps: Trajectory) -> list[int]:
    """The columns' numbers (columns first), after checking that every field agrees on them."""
    expected = steps.previous_action
    for field in (steps.action, steps.reward, steps.behaviour[..., 0], steps.value[..., 0]):
        np.testing.assert_array_equal(field, np.broadcast_to(expected[:, None], field.shape))
    observation = steps.observation[..., 0]
    np.testing.assert_array_equal(observation, np.broadcast_to(expected[:, None] % 256, observation.shape))
    np.testing.assert_array_equal(steps.previous_reward, expected)
    return expected.tolist()


def moved_features(weights: Weights, steps: Trajectory, times: np.ndarray) -> np.ndarray:
    """Features under "weights" (drift, base): the stored ones, each moved by its column's number times the drift."""
    drift = weights.vector[0] * steps.previous_action[:, None, None]
    return steps.features[:, times].astype(np.float32) + drift.astype(np.float32)


def weights(drift: float) -> Weights:
    """What `moved_features` reads."""
    return Weights(1, np.array([drift], np.float32))
