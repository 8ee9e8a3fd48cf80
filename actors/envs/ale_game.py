"""One Atari game on one emulator, step for step as ALE's vector environment plays it."""

from typing import NamedTuple

import ale_py
import numpy as np
from ale_py import roms

from actors.envs.ale_frames import HEIGHT, WIDTH, AreaResize, draw_below
from actors.envs.ale_settings import AleSettings


class Outcome(NamedTuple):
    """What an env step came to."""

    reward: int
    terminated: bool
    truncated: bool
    lives: int


class AleGame:
    """An emulator, the frames that it shows, and its resets."""

    def __init__(self, settings: AleSettings, seed: int):
        self._settings, self._seed = settings, seed
        self._rom = roms.get_rom_path(settings.game)
        ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
        self.emulator = ale_py.ALEInterface()
        self.emulator.setFloat("repeat_action_probability", settings.sticky_actions)
        self.start()
        emulator = self.emulator
        self.actions = emulator.getLegalActionSet() if settings.full_action_space else emulator.getMinimalActionSet()
        self._fires = settings.fire_reset and ale_py.Action.FIRE in self.actions
        self._resize = AreaResize(settings.image_size)
        self._raw = np.zeros((2, HEIGHT, WIDTH), np.uint8)
        self._frames = 0
        self.stack = np.zeros((settings.frame_stack, settings.image_size, settings.image_size), np.uint8)
        """What the model sees, oldest frame first."""

    def start(self) -> None:
        """Seed the emulator and the no-ops; `reset` comes next."""
        self.emulator.setInt("random_seed", self._seed)
        self.emulator.loadROM(self._rom)
        self._noops = np.random.RandomState(self._seed)  # a Mersenne twister seeded as C++ seeds its own

    def reset(self) -> int:
        """Begin a game; returns its lives."""
        self.emulator.reset_game()
        if self._fires:
            self.emulator.act(ale_py.Action.FIRE)
        # drawn even for noop_max 0, as there: a draw of one number is 0
        for _ in range(draw_below(max(self._settings.noop_max, 1), self._noops) - self._fires):
            self.emulator.act(ale_py.Action.NOOP)
            if self.emulator.game_over():
                self.emulator.reset_game()
        self._frames = 0
        self.stack[:] = 0
        self.emulator.getScreenGrayscale(self._raw[0])
        self._raw[1] = 0
        self._show()
        return self.emulator.lives()

    def step(self, action: int) -> Outcome:
        """Repeat an action for `frame_skip` frames, or until the game or its time is over."""
        reward = 0
        for left in range(self._settings.frame_skip - 1, -1, -1):
            reward += self.emulator.act(self.actions[action])
            self._frames += 1
            over, late = self.emulator.game_over(), self._frames >= self._settings.max_episode_frames
            if over or late:  # ALE shows the frames before this one
                break
            if left < 2:
                self.emulator.getScreenGrayscale(self._raw[left])
        self._show()
        return Outcome(reward, over, late and not over, self.emulator.lives())

    def _show(self) -> None:
        if self._settings.maxpool:
            np.maximum(*self._raw, out=self._raw[0])
        self.stack[:-1] = self.stack[1:]
        self.stack[-1] = self._resize(self._raw[0])
