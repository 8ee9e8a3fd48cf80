"""What an evaluation found, for reading."""

from dataclasses import dataclass
from pathlib import Path

from rl_platform.core.types import Episode
from rl_platform.runtime.trained_bonuses import GameBonus


@dataclass(frozen=True)
class Report:
    """What an evaluation found."""

    checkpoint: Path
    greedy: bool
    episodes: tuple[Episode, ...]
    mean: float
    standard_error: float
    video: Path | None
    bonuses: tuple[GameBonus, ...] = ()
    """Of each episode; empty: the run has none."""

    def __str__(self) -> str:
        kind = "greedy" if self.greedy else "sampled"
        lines = [
            f"{len(self.episodes)} episodes ({kind} actions) of {self.checkpoint}",
            f"return: mean {self.mean:.2f} ± {self.standard_error:.2f} (standard error), "
            f"min {min(e.episode_return for e in self.episodes):g}, "
            f"max {max(e.episode_return for e in self.episodes):g}",
        ]
        return "\n".join([*lines, *self._table(), *([f"video: {self.video}"] if self.video else [])])

    def _table(self) -> list[str]:
        """What there is to say of each episode beyond its return; no lines where that is nothing."""
        columns = [_bonus_column(self.bonuses), _room_column(self.episodes)]
        if not any(columns):
            return []
        first = [f"{'return':>10} {'length':>8}", *(f"{e.episode_return:10g} {e.length:8d}" for e in self.episodes)]
        rows = zip(first, *filter(None, columns), strict=True)
        return [*_room_summary(self.episodes), *("  ".join(row) for row in rows)]


def _bonus_column(bonuses: tuple[GameBonus, ...]) -> list[str]:
    """Heading and the mean bonus of a step in each episode; empty without bonuses."""
    return [f"{'bonus':>10}", *(f"{bonus.mean:10.3g}" for bonus in bonuses)] if bonuses else []


def _room_column(episodes: tuple[Episode, ...]) -> list[str]:
    """Heading and the rooms of each episode in the order of first visits; empty where none are told."""
    if not any(episode.rooms for episode in episodes):
        return []
    return ["rooms", *(" ".join(map(str, episode.rooms)) for episode in episodes)]


def _room_summary(episodes: tuple[Episode, ...]) -> list[str]:
    """The rooms visited ever; no line where none are told."""
    ever, counts = {room for episode in episodes for room in episode.rooms}, [len(e.rooms) for e in episodes]
    if not ever:
        return []
    return [f"rooms: {len(ever)} ever, {sum(counts) / len(counts):.2f} in an episode, at most {max(counts)}"]
