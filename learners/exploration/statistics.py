"""What bonuses add up to: their scale, and what is shown of them."""

from typing import Any

import numpy as np

from learners.exploration.episode_sums import EpisodeSums
from learners.exploration.return_filter import ReturnFilter
from rl_platform.core.types import Batch

_OF_FILTER = 3


class BonusStatistics:
    """The return filter, the sums over episodes, and the metrics of bonuses and rewards; equal on every rank.

    Of online columns alone: replayed ones were counted when they came.

    Args:
      discount: γ of the bonuses' returns.
    """

    def __init__(self, discount: float):
        self._filter, self._episodes = ReturnFilter(discount), EpisodeSums()

    @property
    def scale(self) -> float:
        """What bonuses are divided by."""
        return self._filter.std

    def sums(self, raw: np.ndarray | None, batch: Batch | None) -> np.ndarray:
        """What ranks add up [8] of raw bonuses [B, T] and the batch whose columns they are; zeros without one."""
        if raw is None or batch is None:
            return np.zeros(_OF_FILTER + 5)
        steps, online = batch.steps, batch.online
        bonuses, origin = raw[online], batch.origin[online]
        rewards = np.where(steps.valid, steps.reward, 0.0)[online]
        of_episodes = self._episodes.add(bonuses, steps.is_first[online], origin)
        of_filter = self._filter.sums(bonuses, origin)
        return np.array([*of_filter, bonuses.size, bonuses.sum(), rewards.sum(), *of_episodes])

    def add(self, sums: np.ndarray) -> dict[str, float]:
        """Take in `sums`, added up over the ranks; returns metrics.

        They are means over the online transitions, and over the episodes that ended among them: of bonuses as they are
        learned from, but for `bonus_raw_mean`.
        """
        self._filter.add(sums[:_OF_FILTER])
        steps, bonuses, rewards, episodes, of_episodes = sums[_OF_FILTER:].tolist()
        metrics = {"bonus_scale": self.scale}
        if steps:
            metrics |= {"bonus_raw_mean": bonuses / steps, "bonus_mean": bonuses / steps / self.scale,
                        "reward_mean": rewards / steps}  # fmt: skip
        return metrics | ({"episode_bonus_mean": of_episodes / episodes / self.scale} if episodes else {})

    def state_dict(self) -> dict[str, Any]:
        """The filter's; sums that episodes under way have come to are no state."""
        return self._filter.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where `state` was taken."""
        self._filter.load_state_dict(state)
