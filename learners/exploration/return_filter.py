"""The scale of bonuses: the deviation of their discounted sums."""

from typing import Any

import numpy as np
import torch

from learners.exploration.streams import Streams
from learners.moments import RunningMoments


class ReturnFilter:
    """g_t = γ g_{t−1} + r_t along each environment's steps, through the ends of episodes, and the deviation of all g.

    Bonuses are divided by it, without taking a mean off (Burda et al. 2019). The running variance begins with a prior
    of 1e-4 observations of mean 0 and variance 1, and counts every g (as OpenAI's code does; others count one an
    environment). The sums that environments are in are no state: after a restart of the learner they begin at 0.

    Args:
      discount: γ of the bonuses' returns.
    """

    def __init__(self, discount: float):
        self._discount = discount
        self._streams, self._moments = Streams(), RunningMoments(1, prior=1e-4)

    @property
    def std(self) -> float:
        """What bonuses are divided by."""
        return float(self._moments.std[0])

    def sums(self, bonuses: np.ndarray, origin: np.ndarray) -> np.ndarray:
        """What ranks add up [3], of online columns that come here for the first time.

        Args:
          bonuses: [B, T] raw.
          origin: [B, 4] as `Batch.origin`.
        """
        filtered = self._streams.scan(bonuses, np.full(bonuses.shape, self._discount), origin)
        return self._moments.sums(torch.from_numpy(filtered.reshape(-1, 1)))

    def add(self, sums: np.ndarray) -> None:
        """Take in `sums`, added up over the ranks."""
        self._moments.add(sums)

    def state_dict(self) -> dict[str, Any]:
        """The moments."""
        return self._moments.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where `state` was taken."""
        self._moments.load_state_dict(state)
