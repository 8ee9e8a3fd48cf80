"""Running moments of observations, equal on every rank."""

from typing import Any

import numpy as np

from rl_platform.core.types import Batch


class RunningMoments:
    """Mean and standard deviation of all observations [D] so far, in float64.

    Ranks add up sums of deviations from the mean m that they share, and then all take the same step:
        s = Σ (x − m),  q = Σ (x − m)²  over n new observations
        N ← N + n,  m ← m + s/N,  M₂ ← M₂ + q − s²/N
    This is the merge of Chan, Golub and LeVeque (1983), with the new observations' moments taken about m.

    Args:
      size: D.
    """

    def __init__(self, size: int):
        self._count = 0.0
        self._mean, self._squares = np.zeros(size), np.zeros(size)

    @property
    def mean(self) -> np.ndarray:
        """[D]; 0 before the first observation."""
        return self._mean

    @property
    def std(self) -> np.ndarray:
        """[D] of the observations themselves (÷ N); 1 before the first."""
        return np.sqrt(self._squares / self._count) if self._count else np.ones_like(self._mean)

    def sums(self, batch: Batch | None) -> np.ndarray:
        """n, s and q of a batch's new observations, [1 + 2D]; zeros without one (None)."""
        if batch is None:
            return np.zeros(1 + 2 * len(self._mean))
        deviations = new_observations(batch) - self._mean
        return np.concatenate([[len(deviations)], deviations.sum(0), np.square(deviations).sum(0)])

    def add(self, sums: np.ndarray) -> None:
        """Take in `sums`, added up over the ranks. Those that are not finite would stay for ever and are left out."""
        if not sums[0] or not np.isfinite(sums).all():
            return
        shifts, squares = np.split(sums[1:], 2)
        self._count += float(sums[0])
        self._squares = (self._squares + squares - np.square(shifts) / self._count).clip(min=0)
        self._mean = self._mean + shifts / self._count

    def state_dict(self) -> dict[str, Any]:
        """Everything."""
        return {"count": self._count, "mean": self._mean.copy(), "squares": self._squares.copy()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue exactly where `state` was taken, of observations with as many numbers."""
        assert state["mean"].shape == self._mean.shape, (state["mean"].shape, self._mean.shape)
        self._count = float(state["count"])
        self._mean, self._squares = state["mean"].copy(), state["squares"].copy()


def new_observations(batch: Batch) -> np.ndarray:
    """The observations [n, D] float64 from which valid actions of online columns were chosen.

    So each is counted once, though unrolls overlap by one and columns are replayed. The last ones of episodes, from
    which nothing is chosen, are not counted.
    """
    chosen_from = batch.steps.valid & batch.online[:, None]
    return batch.steps.observation[:, :-1][chosen_from].astype(np.float64)
