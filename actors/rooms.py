"""What a rollout worker notes of the rooms that its players enter."""

import numpy as np

from rl_platform.core.interfaces import StepResult
from rl_platform.core.rooms import START, Passage, RoomClip, RoomLog
from rl_platform.core.spec import EMULATOR_FPS, EnvSpec

BEFORE_S, AFTER_S = 2.0, 1.0
"""How much of what was seen before and after a first entry a clip shows."""


class Passages:
    """Counts how often the players of N environments went from one room to another."""

    def __init__(self, num_envs: int):
        self._room = np.full(num_envs, START, np.int64)
        self._env_steps = 0
        self._counts: dict[tuple[int, int], Passage] = {}

    def add(self, step: StepResult, counted: np.ndarray | bool = True) -> np.ndarray:
        """Count one step; returns the indices of the environments whose players entered a room, or began a game.

        Args:
          counted: [N] bool, where it counts.

        What `reset()` showed is unknown: the first step tells the room in which the first game began.
        """
        origin = np.where(step.is_first, START, self._room)
        entered = np.flatnonzero((origin != step.room) & counted)
        for passage in zip(origin[entered].tolist(), step.room[entered].tolist(), strict=True):
            before = self._counts.get(passage, Passage(*passage, 0, self._env_steps))
            self._counts[passage] = before._replace(times=before.times + 1)
        self._room = step.room.copy()
        self._env_steps += int((step.valid & counted).sum())
        return entered

    def take(self) -> tuple[Passage, ...]:
        """The passages since the call before."""
        passages, self._counts, self._env_steps = tuple(self._counts.values()), {}, 0
        return passages


class ClipRecorder:
    """Keeps the newest frames of N environments, and cuts clips out of them; frames are [H, W] uint8."""

    def __init__(self, spec: EnvSpec, num_envs: int):
        steps_per_s = EMULATOR_FPS / spec.frame_skip
        before, self._after = round(BEFORE_S * steps_per_s), round(AFTER_S * steps_per_s)
        self._frames = np.zeros((before + 1 + self._after, num_envs, *spec.observation_shape[1:]), np.uint8)
        self._added = 0
        self._begun: dict[int, tuple[int, int]] = {}  # room: when it was entered, and by whom

    def add(self, frames: np.ndarray) -> None:
        """Keep what the environments show [N, H, W]."""
        self._frames[self._added % len(self._frames)] = frames
        self._added += 1

    def begin(self, room: int, env: int) -> None:
        """The player of an environment entered the room in the newest frame."""
        self._begun[room] = (self._added, env)

    def take_finished(self) -> list[RoomClip]:
        """The clips whose last frame has been seen."""
        return [
            self._cut(room) for room, (entered, _) in [*self._begun.items()] if self._added == entered + self._after
        ]

    def take_unfinished(self) -> list[RoomClip]:
        """The others, as far as they go."""
        return [self._cut(room) for room in [*self._begun]]

    def _cut(self, room: int) -> RoomClip:
        entered, env = self._begun.pop(room)
        times = np.arange(max(0, entered + self._after - len(self._frames)), self._added)
        return RoomClip(room, self._frames[times % len(self._frames), env])


class RoomWatch:
    """What the players of N environments make of rooms: passages, and a clip at the first entry to each room."""

    def __init__(self, spec: EnvSpec, num_envs: int):
        self._passages = Passages(num_envs)
        self._recorder = ClipRecorder(spec, num_envs)
        self._known: set[int] = set()
        self._clips: list[RoomClip] = []

    def add(self, step: StepResult, counted: np.ndarray | bool = True) -> None:
        """Take in one step of every environment, of which those count where `counted` [N] is true."""
        self._recorder.add(step.observation[:, -1])
        for env in self._passages.add(step, counted).tolist():
            room = int(step.room[env])
            if room not in self._known:
                self._known.add(room)
                self._recorder.begin(room, env)
        self._clips += self._recorder.take_finished()

    def take(self) -> RoomLog:
        """What happened since the call before."""
        clips, self._clips = tuple(self._clips), []
        return RoomLog(self._passages.take(), clips)

    def end(self) -> RoomLog:
        """As `take`, with clips that are still to be finished: nothing follows."""
        self._clips += self._recorder.take_unfinished()
        return self.take()
