"""Atari games on emulators of their own, whose memory can be read: `AleVectorEnv`'s games, to the bit."""

from typing import Any

import numpy as np

from actors.envs.ale_game import AleGame
from actors.envs.ale_settings import AleSettings
from actors.envs.seeds import checked_seeds
from rl_platform.core.interfaces import StepResult


class AleSingleVectorEnv:
    """N copies of one Atari game, stepped one after the other, with the room that the player is in.

    Observations, rewards, ends, no-ops and sticky actions are those of `AleVectorEnv` for the same arguments and seeds
    (tests compare them), which does not show its emulators' memory. On systems whose C++ library draws numbers in
    another way than GCC's, resets wait for other numbers of frames than there.

    Arguments: as for `AleVectorEnv`, but for
      threads: 1, for Python steps the emulators.
      room_byte: address in the console's 128 bytes of memory that holds the room; None: tell no rooms.
    """

    def __init__(self, *, seeds: np.ndarray, room_byte: int | None = None, **settings: Any):
        self._settings, self._room_byte = AleSettings(**settings), room_byte
        if self._settings.threads != 1:
            raise ValueError(f"threads {self._settings.threads}: single emulators are stepped by Python; set it to 1")
        self._games = [AleGame(self._settings, seed) for seed in checked_seeds(seeds).tolist()]
        self.num_envs = len(self._games)
        self.spec = self._settings.spec(len(self._games[0].actions))
        self._ended = np.zeros(self.num_envs, bool)
        self._lives = np.zeros(self.num_envs, np.int32)
        self._current = 0

    def reset(self) -> np.ndarray:
        """Start every environment from its seed, so that the same actions give the same games; [N, …] uint8."""
        self._ended = np.zeros(self.num_envs, bool)
        for index, game in enumerate(self._games):
            self._current = index
            game.start()
            self._lives[index] = game.reset()
        return self._observation()

    def step(self, action: np.ndarray) -> StepResult:
        """Apply actions [N] int64. The arrays are new at every call; `episode_end` is the next call's `is_first`."""
        assert action.min() >= 0 and action.max() < self.spec.action.size, action
        reward, is_first = np.zeros(self.num_envs, np.float32), self._ended
        terminated, truncated = np.zeros((2, self.num_envs), bool)
        life_lost = np.zeros(self.num_envs, bool)
        for index, game in enumerate(self._games):
            self._current = index
            if is_first[index]:
                self._lives[index] = game.reset()
                continue
            reward[index], terminated[index], truncated[index], lives = game.step(int(action[index]))
            life_lost[index] = 0 < lives < self._lives[index]
            self._lives[index] = lives
        self._ended = terminated | truncated
        if self._settings.life_loss_terminates:
            terminated |= life_lost
        observation = self._observation()
        return StepResult(
            observation, reward, terminated, truncated, ~is_first, is_first, self._ended, room=self._room()
        )

    def where(self) -> str:
        """The environment that is being stepped, or was stepped last."""
        return f"environment {self._current} of {self.num_envs} (ALE game {self.spec.name})"

    def close(self) -> None:
        """There is nothing to free but memory."""
        self._games = []

    def _observation(self) -> np.ndarray:
        return np.stack([game.stack for game in self._games])

    def _room(self) -> np.ndarray | None:
        """[N] int64."""
        if self._room_byte is None:
            return None
        return np.array([game.emulator.getRAM()[self._room_byte] for game in self._games], np.int64)
