"""Episode statistics: raw whole-game returns, whatever the learner does to rewards."""

import numpy as np

from rl_platform.core.interfaces import StepResult
from rl_platform.core.rooms import START
from rl_platform.core.types import Episode


class EpisodeStatistics:
    """Accumulates return and length of the game that each of N environments is in."""

    def __init__(self, num_envs: int, task: np.ndarray):
        self._returns = np.zeros(num_envs, dtype=np.float64)
        self._lengths = np.zeros(num_envs, dtype=np.int64)
        self._task = task
        self._room = np.full(num_envs, START, np.int64)
        self._rooms: list[dict[int, None]] = [{} for _ in range(num_envs)]  # as sets that keep their order

    def add(self, step: StepResult) -> list[Episode]:
        """Count one step of every environment; returns the games that it ended.

        A game that a crash cut short is forgotten: its return would be a lie.
        """
        self._returns += np.where(step.valid, step.reward, 0.0)
        self._lengths += step.valid
        if step.room is not None:
            self._add_rooms(step.room, step.is_first)
        ended = [self._episode(index) for index in np.flatnonzero(step.episode_end)]
        fresh = step.episode_end | step.is_first
        self._returns[fresh] = 0.0
        self._lengths[fresh] = 0
        return ended

    def _add_rooms(self, room: np.ndarray, is_first: np.ndarray) -> None:
        """Rooms [N] after a step; those before the first step are unknown."""
        for index in np.flatnonzero(is_first | (room != self._room)).tolist():
            if is_first[index]:
                self._rooms[index] = {}
            self._rooms[index][int(room[index])] = None
        self._room = room.copy()

    def _episode(self, index: int) -> Episode:
        return Episode(float(self._returns[index]), int(self._lengths[index]), int(self._task[index]), int(index),
                       tuple(self._rooms[index]))  # fmt: skip
