"""The folder `exploration/` of a run: the rooms that were reached, clips of first entries, and the bonus over time."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rl_platform.core.rooms import RoomClip
from rl_platform.core.spec import EMULATOR_FPS
from rl_platform.observability.files import to_json, write_atomic
from rl_platform.observability.metrics_file import read_rows
from rl_platform.observability.room_graph import write_room_graph
from rl_platform.observability.video import write_video

BONUS = "bonus_mean"
"""The learner's metric for the mean bonus of a batch's steps."""
_ENLARGED = 4


def write_exploration(run_dir: Path, report: dict[str, Any] | None, clips: Sequence[RoomClip], *, game: str,
                      frame_skip: int, with_bonus: bool) -> None:  # fmt: skip
    """Bring the folder up to date; a run without rooms and without bonuses has none.

    Args:
      report: `RoomStatistics.report()`.
      clips: those that have come since the last call that succeeded.
      with_bonus: draw the bonus over time, from the run's metrics.
    """
    folder = run_dir / "exploration"
    bonus = [row for row in _rows(run_dir) if row.get(BONUS) is not None] if with_bonus else []
    if report is None and not bonus:
        return
    folder.mkdir(exist_ok=True)
    if report is not None:
        write_rooms(folder, report, game)
        write_clips(folder, clips, frame_skip)
    if bonus:
        _draw_curve([row["env_steps"] for row in bonus], [row[BONUS] for row in bonus], "env steps",
                    "mean bonus of a step", folder / "bonus.png")  # fmt: skip


def write_rooms(folder: Path, report: dict[str, Any], game: str, *, name: str = "rooms") -> None:
    """`rooms.json` and `rooms.png` (or of another name) from `RoomStatistics.report()`."""
    write_atomic(folder / f"{name}.json", to_json(report, indent=1))
    write_room_graph(report, game, folder / f"{name}.png")


def write_clips(folder: Path, clips: Sequence[RoomClip], frame_skip: int, *, prefix: str = "") -> None:
    """`<prefix>room_<NN>.mp4` of each, in the game's speed; a room's first clip stays."""
    for clip in clips:
        path = folder / f"{prefix}room_{clip.room:02d}.mp4"
        if not path.exists():
            write_video(path, map(_shown, clip.frames), EMULATOR_FPS / frame_skip)


def write_bonus_curve(bonuses: Sequence[float], output: Path) -> None:
    """Bonuses of the steps of one game."""
    _draw_curve(range(1, 1 + len(bonuses)), bonuses, "env steps of the game", "bonus of a step", output)


def _rows(run_dir: Path) -> list[dict[str, Any]]:
    path = run_dir / "metrics.jsonl"
    return read_rows(path) if path.exists() else []


def _draw_curve(steps: Sequence[float], bonuses: Sequence[float], x_label: str, y_label: str, output: Path) -> None:
    from matplotlib.figure import Figure  # half a second to import: only when a picture is drawn
    from matplotlib.ticker import EngFormatter

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(steps, bonuses)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.grid(alpha=0.3)
    figure.savefig(output, dpi=110, format="png")


def _shown(frame: np.ndarray) -> np.ndarray:
    """[H, W] grey to [4H, 4W, 3]."""
    return np.repeat(frame, _ENLARGED, axis=0).repeat(_ENLARGED, axis=1)[:, :, None].repeat(3, axis=2)
