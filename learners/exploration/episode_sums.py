"""Bonuses added up over episodes, which are longer than unrolls."""

import math

import numpy as np

from learners.exploration.streams import Streams


class EpisodeSums:
    """Σ of bonuses over each environment's episodes, of which each has the transition to the next one's start too.

    Episodes that were not seen from their beginning do not count.
    """

    def __init__(self) -> None:
        self._streams = Streams(before=math.nan)

    def add(self, bonuses: np.ndarray, is_first: np.ndarray, origin: np.ndarray) -> tuple[int, float]:
        """How many episodes ended, and the sum of their sums.

        Args:
          bonuses: [B, T].
          is_first: [B, T+1].
          origin: [B, 4] as `Batch.origin`.
        """
        sums = self._streams.scan(bonuses, (~is_first[:, :-1]).astype(float), origin)
        ended = is_first[:, 1:] & np.isfinite(sums)
        return int(ended.sum()), float(sums[ended].sum())
