"""The records of a run: metrics.jsonl, tensorboard/ and summary.json in its folder, and Ray's metrics."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rl_platform.observability.files import AppendFile, FullDiskTolerance, to_json, write_atomic
from rl_platform.observability.metrics_file import keep_rows_until
from rl_platform.observability.ray_metrics import RayMetrics

if TYPE_CHECKING:
    from rl_platform.observability.event_file import EventFile


class RunWriters:
    """Writes what `RunStatistics` says into a run's folder.

    `restored_env_steps` is where the run starts: 0, or the env steps of the checkpoint that it was resumed from; what
    the folder's series say of later steps is removed. While the disk is full, records are lost and the run goes on.
    """

    def __init__(
        self, run_dir: Path, *, tensorboard: bool, ray_metrics: bool = False, restored_env_steps: int = 0
    ) -> None:
        run_dir.mkdir(parents=True, exist_ok=True)
        self._summary_path = run_dir / "summary.json"
        self._metrics_path = run_dir / "metrics.jsonl"
        self._events_path = run_dir / "tensorboard"
        self._tolerance = FullDiskTolerance()
        keep_rows_until(self._metrics_path, restored_env_steps)
        self._metrics = AppendFile(self._metrics_path)
        self._events = _event_file(self._events_path, restored_env_steps) if tensorboard else None
        self._ray_metrics = RayMetrics(str(run_dir)) if ray_metrics else None

    def write_row(self, row: Mapping[str, float], histograms: Mapping[str, np.ndarray] | None = None) -> None:
        """Append a metrics row to every series, and histograms of values [K] to TensorBoard's."""
        self._tolerance.attempt(self._metrics_path, lambda: self._metrics.append(to_json(row)))
        events = self._events
        if events is not None:
            self._tolerance.attempt(self._events_path, lambda: events.add(row, histograms or {}))
        if self._ray_metrics is not None:
            self._ray_metrics.write(row)

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Replace summary.json."""
        content = to_json(summary, indent=2)
        self._tolerance.attempt(self._summary_path, lambda: write_atomic(self._summary_path, content))

    def close(self) -> None:
        """Close the files; nothing waits in memory."""
        self._metrics.close()
        if self._events is not None:
            self._events.close()


def _event_file(directory: Path, env_steps: int) -> "EventFile":
    # tensorboard and protobuf take a quarter of a second to import: only for runs that write event files.
    from rl_platform.observability.event_file import EventFile, keep_events_until

    keep_events_until(directory, env_steps)
    return EventFile(directory)
