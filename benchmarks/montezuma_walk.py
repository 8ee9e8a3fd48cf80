"""A walk to new rooms of Montezuma's Revenge, found by search: frames that no learner of a young run has seen.

Go-Explore's first phase (Ecoffet et al., 2019) in small: emulator states are kept by cell (room, place, keys, doors), a
rarely chosen one is restored, and random actions go on from it until a life is lost. Without sticky actions and no-ops
a list of actions always leads to the same place, so the frames are those of playing it through an `AleGame`.

    python -m benchmarks.montezuma_walk --output walk.npz [--rooms 2] [--seed 0]

writes `rooms` [R], `first_frames` [R, 32, 4, 84, 84] from 32 steps that begin at a first entry to each, `familiar_room`
and `familiar_frames` [F, 4, 84, 84] from games of random actions, which stay in the first room.
"""

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import ale_py
import numpy as np

from actors.envs.ale_game import AleGame
from actors.envs.ale_settings import AleSettings
from configs.env import ROOM_BYTES

STEPS_AFTER_ENTRY = 32
GAME = "montezuma_revenge"
FIRST_ROOM = 1
"""Where games begin."""
_ROOM = ROOM_BYTES[GAME]
_X, _Y, _KEYS, _DOORS = 42, 43, 65, 66
_CELL_PIXELS = 8
_FRAME_SKIP = 4
_TRY_STEPS = 100
_STAY_TRIES = 50
_REPEAT = 0.9
"""Probability, each step, of the action before: about ten steps of one action, enough for a jump or some rungs."""

Cell = tuple[int, ...]


class RoomFrames(NamedTuple):
    """What the model would see in the steps after a first entry: stacks [32, S, H, W] uint8."""

    room: int
    frames: np.ndarray


@dataclass
class Place:
    """The state in which a cell was first reached, the actions that led there, and how often it was gone on from."""

    state: ale_py.ALEState
    actions: list[int]
    chosen: int = 0


def walk(seed: int, *, new_rooms: int = 2, max_steps: int = 2_000_000) -> list[RoomFrames]:
    """Frames of the first `new_rooms` rooms that a search finds beyond the one where a game begins, in its order.

    Raises:
      RuntimeError: fewer were found in `max_steps` env steps.
    """
    search = Search(seed)
    while len(search.routes) < new_rooms:
        if search.steps >= max_steps:
            found = f"{len(search.routes)} new rooms in {search.steps} env steps"
            raise RuntimeError(f"{found}; give the search more, or another seed")
        search.go_on()
    return [RoomFrames(room, play(actions)[-STEPS_AFTER_ENTRY:]) for room, actions in search.routes.items()]


class Search:
    """The cells that were reached, and for each new room the actions to it and of `STEPS_AFTER_ENTRY` steps within."""

    def __init__(self, seed: int):
        self._random, self._game = np.random.default_rng(seed), _new_game()
        self._emulator = self._game.emulator
        self._lives = self._game.reset()
        self._cells = {self._cell(): Place(self._emulator.cloneState(), [])}
        self._start = self._room()
        self.routes: dict[int, list[int]] = {}
        self.steps = 0

    def go_on(self) -> None:
        """Restore a rarely chosen cell, and play random actions from it until a life is lost."""
        place = _choose(list(self._cells.values()), self._random)
        self._emulator.restoreState(place.state)
        actions = self._draw(_TRY_STEPS)
        for count, action in enumerate(actions, start=1):
            if not self._act(action):
                return
            self._remember(place.actions + actions[:count])

    def _remember(self, actions: list[int]) -> None:
        """Keep the present state if its cell is new, and the way to its room if that is."""
        cell, room = self._cell(), self._room()
        if cell not in self._cells:
            self._cells[cell] = Place(self._emulator.cloneState(), actions)
        if room != self._start and room not in self.routes:
            within = self._stay(room)
            if within is not None:
                self.routes[room] = actions + within

    def _stay(self, room: int) -> list[int] | None:
        """Actions after which the player has been in this room all the time; the state is as before."""
        entered = self._emulator.cloneState()
        try:
            for _ in range(_STAY_TRIES):
                self._emulator.restoreState(entered)
                actions = self._draw(STEPS_AFTER_ENTRY)
                if all(self._act(action) and self._room() == room for action in actions):
                    return actions
            return None
        finally:
            self._emulator.restoreState(entered)

    def _act(self, action: int) -> bool:
        """A step without its frames, which only the way found needs; False: a life was lost."""
        self.steps += 1
        for _ in range(_FRAME_SKIP):
            self._emulator.act(self._game.actions[action])
        return self._emulator.lives() >= self._lives

    def _draw(self, count: int) -> list[int]:
        return _random_actions(self._random, len(self._game.actions), count)

    def _room(self) -> int:
        return int(self._emulator.getRAM()[_ROOM])

    def _cell(self) -> Cell:
        memory = self._emulator.getRAM()
        place = memory[[_X, _Y]] // _CELL_PIXELS
        return (int(memory[_ROOM]), *place.tolist(), int(memory[_KEYS]), int(memory[_DOORS]))


def play(actions: list[int]) -> np.ndarray:
    """The stacks [K, S, H, W] after each action of a game."""
    game = _new_game()
    game.reset()
    frames = []
    for action in actions:
        game.step(action)
        frames.append(game.stack.copy())
    return np.stack(frames)


def familiar_frames(seed: int, num_frames: int) -> np.ndarray:
    """Stacks [F, S, H, W] of games of random actions, which do not get out of the first room."""
    return first_room_frames(_random_actions(np.random.default_rng(seed), len(_new_game().actions), num_frames))


def first_room_frames(actions: list[int]) -> np.ndarray:
    """The stacks [F, S, H, W] after each action, in one game after another.

    Raises:
      RuntimeError: the player has left the first room.
    """
    game = _new_game()
    game.reset()
    frames = []
    for action in actions:
        if game.step(action).terminated:
            game.reset()
        room = int(game.emulator.getRAM()[_ROOM])
        if room != FIRST_ROOM:
            raise RuntimeError(f"after {len(frames) + 1} actions the player is in room {room}; take another seed")
        frames.append(game.stack.copy())
    return np.stack(frames)


def _new_game() -> AleGame:
    settings = AleSettings(GAME, frame_skip=_FRAME_SKIP, noop_max=0, fire_reset=False, max_episode_frames=2**31 - 1)
    return AleGame(settings, seed=0)


def _choose(places: list[Place], random: np.random.Generator) -> Place:
    """One of them, the more likely the fewer times it was chosen."""
    weights = 1.0 / np.sqrt([place.chosen + 1 for place in places])
    place = places[random.choice(len(places), p=weights / weights.sum())]
    place.chosen += 1
    return place


def _random_actions(random: np.random.Generator, num_actions: int, count: int) -> list[int]:
    fresh, keep = random.integers(num_actions, size=count), random.random(count) < _REPEAT
    keep[0] = False
    return fresh[np.maximum.accumulate(np.where(keep, 0, np.arange(count)))].tolist()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, required=True, help="an .npz file")
    parser.add_argument("--rooms", type=int, default=2, help="new rooms to find (default 2)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    began = time.perf_counter()
    found = walk(options.seed, new_rooms=options.rooms)
    print(f"rooms {[entry.room for entry in found]} found in {time.perf_counter() - began:.1f} s")
    np.savez_compressed(
        options.output,
        rooms=np.array([entry.room for entry in found]),
        first_frames=np.stack([entry.frames for entry in found]),
        familiar_room=FIRST_ROOM,
        familiar_frames=familiar_frames(options.seed, 1024),
    )


if __name__ == "__main__":
    main()
