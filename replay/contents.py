"""The state of a shard's replay sources for a checkpoint, with or without the columns that they hold."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from replay.segments import Segment, read_segments, write_segments
from replay.source import ReplaySource


class ReplayContents:
    """Saves and loads replay sources; remembers which of their columns are on disk already.

    Args:
      folder: this shard's own place for columns, apart from its checkpoints, which share what is there. None: columns
        are not kept; sources then begin empty, but with the λ and the random numbers that they had come to.
      segment_columns: most columns of a file; bounds the memory for writing one, and the loss if one is damaged.
    """

    def __init__(self, folder: Path | None, *, segment_columns: int = 256):
        self._folder, self._segment_columns = folder, segment_columns
        self._segments: dict[str, list[Segment]] = {}

    def state_dict(self, sources: Sequence[ReplaySource]) -> dict[str, Any]:
        """The state of every source by name (nested dicts of arrays and JSON values); new columns go to the folder."""
        return {source.name: source.state_dict() | self._write(source) for source in sources}

    def load_state_dict(self, sources: Sequence[ReplaySource], state: dict[str, Any],
                        report: Callable[[str], None]) -> None:  # fmt: skip
        """Have the sources go on from `state`; `report` is told of each thing that is lost.

        Raises:
          ValueError: the capacity of a source is not that of its state.
        """
        for source in sources:
            if source.name in state:
                self._load(source, state[source.name], report)
            else:
                report(f"replay source {source.name} is not in the checkpoint: it begins empty")

    def _write(self, source: ReplaySource) -> dict[str, Any]:
        if self._folder is None:
            return {}
        folder, known = self._folder / source.name, self._segments.get(source.name, [])
        segments = write_segments(folder, source.ring, known, most=self._segment_columns)
        self._segments[source.name] = segments
        return {"segments": {segment.file: segment._asdict() for segment in segments}}

    def _load(self, source: ReplaySource, state: dict[str, Any], report: Callable[[str], None]) -> None:
        if self._folder is None:
            source.load_state_dict(state)
            return
        segments = [Segment(**segment) for segment in state.get("segments", {}).values()]
        source.load_state_dict(state, read_segments(self._folder / source.name, segments, report))
        self._segments[source.name] = [part for part in segments if np.isin(part.serial, source.ring.serial).any()]
