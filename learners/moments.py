"""Running moments of observations, equal on every rank."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from rl_platform.core.types import Batch

_MAX_ROWS = 1024
"""Rows taken at once: their deviations stay near the cache."""


class RunningMoments:
    """Mean and standard deviation of all observations [D] so far, in float64.

    Ranks add up sums of deviations from the mean m that they share, and then all take the same step:
        s = Σ (x − m),  q = Σ (x − m)²  over n new observations
        N ← N + n,  m ← m + s/N,  M₂ ← M₂ + q − s²/N
    This is the merge of Chan, Golub and LeVeque (1983), with the new observations' moments taken about m.

    Args:
      size: D.
      prior: as if that many observations of mean 0 and variance 1 had come before the first.
    """

    def __init__(self, size: int, *, prior: float = 0.0):
        self._count = prior
        self._mean, self._squares = np.zeros(size), np.full(size, prior)

    @property
    def mean(self) -> np.ndarray:
        """[D]; 0 before the first observation."""
        return self._mean

    @property
    def std(self) -> np.ndarray:
        """[D] of the observations themselves (÷ N); 1 before the first."""
        return np.sqrt(self._squares / self._count) if self._count else np.ones_like(self._mean)

    def sums(self, observations: Tensor | None) -> np.ndarray:
        """n, s and q of new observations [n, D] of any numeric type, [1 + 2D]; zeros without any (None).

        Deviations are float64, but float32 of images, which are many numbers of few digits.
        """
        if observations is None:
            return np.zeros(1 + 2 * len(self._mean))
        dtype = torch.float64 if observations.is_floating_point() else torch.float32
        mean = torch.from_numpy(self._mean).to(observations.device, dtype)
        sums = torch.zeros(2, len(self._mean), dtype=torch.float64, device=observations.device)
        for rows in observations.split(_MAX_ROWS):
            deviations = rows - mean
            sums += torch.stack([deviations.sum(0), deviations.square_().sum(0)])
        return np.concatenate([[len(observations)], sums.flatten().numpy(force=True)])

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


def variance(sums: np.ndarray) -> np.ndarray:
    """[D] of the new observations alone, from `RunningMoments.sums` of at least one."""
    count, (shifts, squares) = sums[0], np.split(sums[1:], 2)
    return squares / count - np.square(shifts / count)


def new_observations(batch: Batch) -> Tensor:
    """The observations [n, D] float64 from which valid actions of online columns were chosen.

    So each is counted once, though unrolls overlap by one and columns are replayed. The last ones of episodes, from
    which nothing is chosen, are not counted.
    """
    chosen_from = batch.steps.valid & batch.online[:, None]
    return torch.from_numpy(batch.steps.observation[:, :-1][chosen_from].astype(np.float64))
