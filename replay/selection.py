"""Which of C candidates become the n columns of a batch: pure functions, each candidate at most once.

Every selection takes distances [C] and uses [C] (batches that a candidate has been in) with C ≥ n, and returns the
positions [n] of the chosen candidates, best first. Equal candidates keep their order.

Differs from elite-vtrace: candidates are distinct, so that every strategy ends with n of them. There they are drawn
with replacement; strategies 2 and 4 may then divide by 0, and strategy 3 may not end.
"""

from collections.abc import Callable

import numpy as np

Selection = Callable[[np.ndarray, np.ndarray, int], np.ndarray]
"""(distances [C], uses [C], n) → positions [n]."""


def nearest(distances: np.ndarray, uses: np.ndarray, n: int) -> np.ndarray:
    """The n smallest distances (elite-vtrace's strategy 1; also what attentive replay takes)."""
    return _by_distance(distances, n)[:n]


def stratified(distances: np.ndarray, uses: np.ndarray, n: int) -> np.ndarray:
    """Every ⌊C/n⌋-th by distance, from the smallest on (strategy 2)."""
    return _by_distance(distances, n)[:: len(distances) // n][:n]


def least_used(distances: np.ndarray, uses: np.ndarray, n: int) -> np.ndarray:
    """The least used ones; of equally used ones the closest (strategy 3, the default there)."""
    assert len(distances) >= n > 0, (len(distances), n)
    return np.lexsort((distances, uses))[:n]


def least_used_in_strata(distances: np.ndarray, uses: np.ndarray, n: int) -> np.ndarray:
    """Sorted by distance and cut into n buckets of ⌊C/n⌋, the least used of each; of equal ones the closest.

    Strategy 4. The C − n·⌊C/n⌋ most distant candidates are in no bucket.
    """
    buckets = _by_distance(distances, n)[: n * (len(distances) // n)].reshape(n, -1)
    return np.take_along_axis(buckets, uses[buckets].argmin(axis=1, keepdims=True), axis=1)[:, 0]


STRATEGIES: dict[str, Selection] = {
    "nearest": nearest,
    "stratified": stratified,
    "least_used": least_used,
    "least_used_in_strata": least_used_in_strata,
}
"""By their names in configurations, in the order of their numbers in elite-vtrace, 1 … 4."""


def _by_distance(distances: np.ndarray, n: int) -> np.ndarray:
    assert len(distances) >= n > 0, (len(distances), n)
    return np.argsort(distances, kind="stable")
