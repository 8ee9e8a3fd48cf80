"""Returns of the training episodes: raw, whole games."""

import math
from collections import deque
from collections.abc import Sequence
from typing import Any

from rl_platform.core.types import Episode
from rl_platform.observability.averages import mean_of

KEPT_EPISODES = 100


class EpisodeWindow:
    """The last `KEPT_EPISODES` finished episodes, over all tasks and of each task, and how many there ever were."""

    def __init__(self, task_names: Sequence[str]) -> None:
        self.count = 0
        self._task_names = tuple(task_names)
        self._last: deque[Episode] = deque(maxlen=KEPT_EPISODES)
        self._last_of_task: list[deque[Episode]] = [deque(maxlen=KEPT_EPISODES) for _ in self._task_names]
        self._since_taken: list[Episode] = []

    def add(self, episodes: Sequence[Episode]) -> None:
        self.count += len(episodes)
        self._last.extend(episodes)
        self._since_taken.extend(episodes)
        for episode in episodes:
            self._last_of_task[episode.task].append(episode)

    def return_mean(self) -> float:
        """Mean raw return of the last episodes; NaN before the first."""
        return _return_mean(self._last)

    def take(self) -> dict[str, float]:
        """The numbers of a metrics row; `episode_return_latest` covers the episodes since the call before."""
        returns = [episode.episode_return for episode in self._last]
        latest, self._since_taken = self._since_taken, []
        return {
            "episodes": self.count,
            "episode_return_mean": self.return_mean(),
            "episode_return_min": min(returns, default=math.nan),
            "episode_return_max": max(returns, default=math.nan),
            "episode_return_latest": _return_mean(latest),
            "episode_length_mean": mean_of(sum(episode.length for episode in self._last), len(self._last)),
            **self._task_means(),
        }

    def _task_means(self) -> dict[str, float]:
        """`episode_return_mean/<task>` where there are several tasks."""
        if len(self._task_names) == 1:
            return {}
        pairs = zip(self._task_names, self._last_of_task, strict=True)
        return {f"episode_return_mean/{name}": _return_mean(episodes) for name, episodes in pairs}

    def state_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "count": self.count,
            "last": [_numbers(episode) for episode in self._last],
            "last_of_task": [[_numbers(episode) for episode in episodes] for episodes in self._last_of_task],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        assert len(state["last_of_task"]) == len(self._task_names), "the checkpoint has other tasks"
        self.count = state["count"]
        self._last = _window(state["last"])
        self._last_of_task = [_window(episodes) for episodes in state["last_of_task"]]
        self._since_taken = []


def _numbers(episode: Episode) -> list[float]:
    """All but the rooms, which `RoomStatistics` keeps."""
    return list(episode[:-1])


def _window(episodes: Sequence[Sequence[float]]) -> deque[Episode]:
    return deque((Episode(*episode) for episode in episodes), maxlen=KEPT_EPISODES)


def _return_mean(episodes: Sequence[Episode] | deque[Episode]) -> float:
    return mean_of(sum(episode.episode_return for episode in episodes), len(episodes))
