"""The seeds that a vector environment is given."""

import numpy as np


def checked_seeds(seeds: np.ndarray) -> np.ndarray:
    """`seeds` [N] unchanged, one for each environment; ValueError unless int32, not negative and distinct.

    A negative seed means "draw one at random" to the backends, and two environments of one seed that are sent
    the same actions play the same game.
    """
    array = np.asarray(seeds)
    if array.ndim != 1 or array.size == 0 or array.dtype != np.int32:
        raise ValueError(f"seeds must be a non-empty one-dimensional int32 array, got {array.dtype} {array.shape}")
    if array.min() < 0 or np.unique(array).size != array.size:
        raise ValueError(f"seeds must be distinct and not negative, got {array.tolist()}")
    return array
