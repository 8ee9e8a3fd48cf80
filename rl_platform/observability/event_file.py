"""TensorBoard event files, in the record and event formats of the tensorboard package.

Differs from tensorboard's own EventFileWriter: rows are appended in the caller's thread and in whole blocks,
because that writer's thread dies on a full disk and takes the rest of the series with it.
"""

import io
import math
import os
import socket
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import HistogramProto, Summary
from tensorboard.summary.writer.record_writer import RecordWriter

from rl_platform.observability.files import AppendFile, write_atomic

PREFIX = "events.out.tfevents."
_BINS = 30


class EventFile:
    """One event file in a run's folder, named as TensorBoard expects it; its steps are env steps."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._file = AppendFile(directory / f"{PREFIX}{time.time_ns()}.{socket.gethostname()}.{os.getpid()}")
        self._append(Event(wall_time=time.time(), file_version="brain.Event:2"))

    def add(self, row: Mapping[str, float], histograms: Mapping[str, np.ndarray]) -> None:
        """Every finite value of a metrics row, and histograms of values [K], by name at the row's env_steps."""
        values = [
            Summary.Value(tag=name, simple_value=value)
            for name, value in row.items()
            if name != "env_steps" and math.isfinite(value)
        ]
        values += [Summary.Value(tag=name, histo=_histogram(v)) for name, v in histograms.items() if v.size]
        self._append(Event(wall_time=time.time(), step=int(row["env_steps"]), summary=Summary(value=values)))

    def _append(self, event: Event) -> None:
        self._file.append(_records([event.SerializeToString()]))

    def close(self) -> None:
        self._file.close()


def keep_events_until(directory: Path, env_steps: int) -> None:
    """Remove events newer than `env_steps`, and torn ones, from the event files of earlier processes.

    Differs from marking the restart with a SessionLog event: TensorBoard's data server passes over that mark.
    """
    for path in directory.glob(f"{PREFIX}*"):
        events = RawEventFileLoader(str(path)).Load()
        kept = _records(event for event in events if Event.FromString(event).step <= env_steps)
        if kept != path.read_bytes():
            write_atomic(path, kept)


def _histogram(values: np.ndarray) -> HistogramProto:
    """Counts of values [K], K ≥ 1."""
    counts, edges = np.histogram(values, bins=_BINS)
    return HistogramProto(
        min=values.min(), max=values.max(), num=values.size, sum=values.sum(), sum_squares=np.square(values).sum(),
        bucket_limit=edges[1:].tolist(), bucket=counts.tolist(),
    )  # fmt: skip


def _records(events: Iterable[bytes]) -> bytes:
    """Serialised events with their lengths and checksums."""
    block = io.BytesIO()
    writer = RecordWriter(block)
    for event in events:
        writer.write(event)
    return block.getvalue()
