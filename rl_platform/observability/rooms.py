"""Which rooms of a game's world the players of a run have reached."""

from collections import Counter, deque
from typing import Any

from rl_platform.core.rooms import START, RoomClip
from rl_platform.core.types import RolloutInfo
from rl_platform.observability.averages import mean_of
from rl_platform.observability.episodes import KEPT_EPISODES


class RoomStatistics:
    """Accumulates what rollout workers tell of rooms: nothing where environments tell none.

    Env steps are collected ones here: how many had been played, over all actors, before a room was entered.
    """

    def __init__(self) -> None:
        self._env_steps = 0
        self._first_entry: dict[int, int] = {}
        self._passages: Counter[tuple[int, int]] = Counter()
        self._per_episode: deque[int] = deque(maxlen=KEPT_EPISODES)
        self._clips: dict[int, RoomClip] = {}

    def add(self, info: RolloutInfo) -> None:
        """An unroll was collected."""
        if info.rooms is not None:
            for passage in info.rooms.passages:
                self._passages[passage.origin, passage.room] += passage.times
                for room in {passage.origin, passage.room} - {START}:  # the entry to the origin may be lost
                    self._first_entry.setdefault(room, self._env_steps + passage.first)
            for clip in info.rooms.clips:
                self._clips.setdefault(clip.room, clip)
            self._per_episode.extend(len(episode.rooms) for episode in info.episodes)
        self._env_steps += info.env_steps

    def take(self) -> dict[str, float]:
        """The numbers of a metrics row; none before the first room."""
        if not self._first_entry:
            return {}
        counts = self._per_episode
        return {
            "rooms_ever": len(self._first_entry),
            "rooms_per_episode_mean": mean_of(sum(counts), len(counts)),
            "rooms_per_episode_max": max(counts, default=float("nan")),
        }

    def clips(self) -> list[RoomClip]:
        """One clip of each room of which some came and were not dropped since."""
        return list(self._clips.values())

    def drop_clips(self, clips: list[RoomClip]) -> None:
        """These are written."""
        for clip in clips:
            self._clips.pop(clip.room, None)

    def report(self) -> dict[str, Any] | None:
        """The content of rooms.json; None before the first room."""
        if not self._first_entry:
            return None
        return room_report(self._passages, self._first_entry) | {"rooms_per_episode": list(self._per_episode)}

    def state_dict(self) -> dict[str, Any]:
        """Plain JSON values; clips are not part of it."""
        return self.report() or {}

    def load_state_dict(self, state: dict[str, Any], *, env_steps: int) -> None:
        """Carry on where a checkpoint was, `env_steps` into the run."""
        self._env_steps = env_steps
        self._first_entry = {int(room): entry["first_env_step"] for room, entry in state.get("rooms", {}).items()}
        self._passages = Counter({(origin, room): times for origin, room, times in state.get("passages", [])})
        self._passages += Counter({(START, room): times for room, times in state.get("starts", [])})
        self._per_episode = deque(state.get("rooms_per_episode", []), maxlen=KEPT_EPISODES)
        self._clips = {}


def room_report(passages: Counter[tuple[int, int]], first_entry: dict[int, int] | None = None) -> dict[str, Any]:
    """What there is to say of passages between rooms, as plain JSON values.

    `rooms` has the visits of each room by its number (as text) and, where it is known, the env step of the first;
    `passages` is [[from, to, times], …] and `starts` [[room, games begun there], …]. A visit is an entry or a start.
    """
    visits = Counter()
    for (origin, room), times in passages.items():
        visits[room] += times
        if origin != START:
            visits[origin] += 0  # known, though the entry to it may have been lost with who told of it
    first = {room: {"first_env_step": step} for room, step in (first_entry or {}).items()}
    return {
        "rooms": {str(room): {"visits": visits[room], **first.get(room, {})} for room in sorted(visits)},
        "passages": sorted([origin, room, times] for (origin, room), times in passages.items() if origin != START),
        "starts": sorted([room, times] for (origin, room), times in passages.items() if origin == START),
    }
