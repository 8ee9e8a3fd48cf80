"""The learning curve of one or several runs, as a PNG."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rl_platform.observability.metrics_file import read_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Rows = list[dict[str, Any]]


def write_curve(sources: Sequence[Path], output: Path) -> None:
    """Draw the raw training return of whole games against env steps (below) and env frames (above).

    `sources` are run folders or metrics.jsonl files. Faint: the mean return of the episodes that ended between two
    rows; bold: the mean of the last 100 episodes. The frames axis is left out when the runs' frame skips differ.
    """
    from matplotlib.figure import Figure  # half a second to import: only when a curve is drawn

    paths = [_metrics_path(source) for source in sources]
    runs = [(path.parent.name, read_rows(path)) for path in paths]
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for color, (name, rows) in enumerate(runs):
        _draw_run(axes, name, rows, f"C{color % 10}")
    _label(axes, frames_per_step={ratio for _, rows in runs for ratio in _frames_per_step(rows)})
    figure.savefig(output, dpi=150, format="png")


def _metrics_path(source: Path) -> Path:
    path = (source / "metrics.jsonl" if source.is_dir() else source).absolute()
    if not path.is_file():
        raise ValueError(f"{path} does not exist: give a run's folder, or its metrics.jsonl")
    return path


def _draw_run(axes: "Axes", name: str, rows: Rows, color: str) -> None:
    env_steps = [row["env_steps"] for row in rows]
    axes.plot(env_steps, _series(rows, "episode_return_latest"), ".", color=color, alpha=0.25, markersize=4)
    axes.plot(env_steps, _series(rows, "episode_return_mean"), color=color, linewidth=2, label=name)


def _series(rows: Rows, key: str) -> list[float]:
    """Values of a key, NaN (a gap in the line) where a row has none."""
    return [math.nan if row[key] is None else row[key] for row in rows]


def _frames_per_step(rows: Rows) -> set[int]:
    return {row["env_frames"] // row["env_steps"] for row in rows if row["env_steps"]}


def _label(axes: "Axes", frames_per_step: set[int]) -> None:
    from matplotlib.ticker import EngFormatter

    axes.set_xlabel("env steps")
    axes.set_ylabel("episode return (raw, whole games)")
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.grid(alpha=0.3)
    axes.legend(title="mean of the last 100 episodes")
    if len(frames_per_step) == 1:
        skip = frames_per_step.pop()
        frames = axes.secondary_xaxis("top", functions=(lambda steps: steps * skip, lambda frames: frames / skip))
        frames.set_xlabel(f"env frames ({skip} a step)")
        frames.xaxis.set_major_formatter(EngFormatter(sep=""))
