"""What makes a candidate close: its features under the present weights, compared with others.

Scores are computed inside the draw, with the weights that came with the request for a batch: the newest published
when it was made. Over Ray that is while the learner works on the batch before, so that scores lag by at most the
updates under way at once, and no thread of their own is needed: there a shard has a process to itself. In one process
the learner's thread scores before it learns; a collector thread goes on playing meanwhile, and waits only to insert.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from replay.distance import Distance
from replay.ring import ColumnRing
from rl_platform.core.types import Trajectory, Weights

FeatureFn = Callable[[Weights, Trajectory, np.ndarray], np.ndarray]
"""(weights, steps columns first [C, T, …], times [K] of 0 … T−1) → features [C, K, F] under these weights."""
Score = Callable[[ColumnRing, np.ndarray, Weights], np.ndarray]
"""(ring, slots [C], weights) → distances [C]."""


@dataclass(frozen=True)
class Scorer:
    """Compares features under the present weights, at every `stride`-th time of a column from 0 on."""

    features: FeatureFn
    distance: Distance
    stride: int = 1

    def drift(self, ring: ColumnRing, slots: np.ndarray, weights: Weights) -> np.ndarray:
        """How far each column's features have moved from those stored when it was made (elite replay): small means
        that the present network still sees the column as the acting one did."""
        steps = ring.read(slots)
        assert steps.features.shape[-1], "the unrolls carry no features to compare with"
        times = self._times(steps)
        return self.distance.of_blocks(self.features(weights, steps, times), steps.features[:, times])

    def from_current(self, ring: ColumnRing, slots: np.ndarray, weights: Weights) -> np.ndarray:
        """How far each column is from the current states (attentive replay, Sun et al. 2020).

        The current states are those of the last step of the newest unroll, one for each of its columns, under the same
        weights; a column's distance is the mean over them of the distance of its block to copies of that state.

        Differs from elite-vtrace: its unroll is one environment's, so that there is one current state; and it adds a
        time axis, which multiplies each p-norm by T^(1/p) and makes its cosine fail.
        """
        newest, steps = ring.read(ring.newest()), ring.read(slots)
        last = np.array([newest.action.shape[1] - 1])
        current = self.features(weights, newest, last)
        seen = self.features(weights, steps, self._times(steps))
        return self.distance.to_states(seen, current[:, 0]).mean(axis=1)

    def _times(self, steps: Trajectory) -> np.ndarray:
        return np.arange(0, steps.action.shape[1], self.stride)
