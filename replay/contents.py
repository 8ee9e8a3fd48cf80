"""The state of a shard's replay sources for a checkpoint, with or without the columns that they hold."""

from collections.abc import Callable, Sequence, Set
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from replay.ring import Stored
from replay.segments import (
    Segment,
    copied,
    delete_others,
    has_segments,
    read_segments,
    unwritten,
    worth_keeping,
    write_segment,
)
from replay.source import ReplaySource

_NO_LOCK = nullcontext()


class ReplayContents:
    """Saves and loads replay sources; remembers which of their columns are on disk already.

    Args:
      folder: this shard's own place for columns, apart from its checkpoints, which share what is there. None: columns
        are not kept; sources then begin empty, but with the λ and the random numbers that they had come to.
      segment_columns: most columns of a file; bounds the memory for writing one, and the loss if one is damaged.
      former: folders of shards that are no more; their segments are deleted here when nobody needs them.
    """

    def __init__(self, folder: Path | None, *, segment_columns: int = 256, former: Sequence[Path] = ()):
        self._folder, self._segment_columns, self._former = folder, segment_columns, former
        self._segments: dict[str, list[Segment]] = {}

    def state_dict(self, sources: Sequence[ReplaySource], *, needed: Set[str] = frozenset(),
                   lock: AbstractContextManager[Any] = _NO_LOCK) -> dict[str, Any]:  # fmt: skip
        """The state of every source by name (nested dicts of arrays and JSON values); new columns go to the folder.

        Segments that the state before this one named remain, so that a process killed before its checkpoint is complete
        loses nothing; so do those `needed`. Others that are no more of use are deleted.

        Args:
          needed: segment files that other checkpoints name.
          lock: guards the sources, if another thread goes on using them. It is held while columns are copied, at most
            a segment at a time and at the end what came meanwhile, and never while a file is written.

        Raises:
          OSError: the disk refused; what was written counts as written.
        """
        self._clear_forsaken(sources, needed)
        if self._folder is None:
            with lock:
                return {source.name: _without_columns(source) for source in sources}
        before = {source.name: self._files(source) for source in sources}
        for source in sources:
            self._write_ahead(source, lock)
        with lock:
            states = {source.name: source.state_dict() for source in sources}
            rests = {source.name: self._rest(source) for source in sources}
        for source in sources:
            self._segments[source.name] += [write_segment(self._at(source), part) for part in rests[source.name]]
            delete_others(self._at(source), before[source.name] | self._files(source) | needed)
        return {name: state | {"segments": self._listed(name)} for name, state in states.items()}

    def load_state_dict(self, sources: Sequence[ReplaySource], state: dict[str, Any],
                        report: Callable[[str], None]) -> None:  # fmt: skip
        """Have the sources go on from `state`; `report` is told of each thing that is lost.

        Raises:
          ValueError: the capacity of a source is not that of its state, and columns are kept.
        """
        for source in sources:
            if source.name in state:
                self._load(source, state[source.name], report)
            else:
                report(f"replay source {source.name} is not in the checkpoint: it begins empty")
        for folder in self._forsaken(sources):
            if has_segments(folder):
                report(f"nobody goes on with the replayed columns in {folder}: they go with the checkpoints that "
                       "name them")  # fmt: skip

    def _clear_forsaken(self, sources: Sequence[ReplaySource], needed: Set[str]) -> None:
        for folder in self._forsaken(sources):
            delete_others(folder, needed)
            if not any(folder.iterdir()):
                folder.rmdir()

    def _forsaken(self, sources: Sequence[ReplaySource]) -> list[Path]:
        """Folders of sources that are no more, here or of former shards; these shards' own after what is in them."""
        present = {source.name for source in sources}
        here = [] if self._folder is None else [path for path in self._folder.glob("*/") if path.name not in present]
        return here + [path for shard in self._former if shard.exists() for path in (*shard.glob("*/"), shard)]

    def _at(self, source: ReplaySource) -> Path:
        assert self._folder is not None, "columns are not kept"
        return self._folder / source.name

    def _files(self, source: ReplaySource) -> set[str]:
        return {segment.file for segment in self._segments.get(source.name, [])}

    def _listed(self, name: str) -> dict[str, Any]:
        return {segment.file: segment._asdict() for segment in self._segments[name]}

    def _write_ahead(self, source: ReplaySource, lock: AbstractContextManager[Any]) -> None:
        """Write whole segments until less than one is left; no more than the ring holds, if columns come as fast."""
        for _ in range(source.ring.capacity // self._segment_columns):
            with lock:
                slots = self._unwritten(source)
                if len(slots) < self._segment_columns:
                    return
                part = copied(source.ring, slots[: self._segment_columns])
            self._segments[source.name].append(write_segment(self._at(source), part))

    def _rest(self, source: ReplaySource) -> list[Stored]:
        """Copies of all columns that are not on disk, a segment each."""
        slots, most = self._unwritten(source), self._segment_columns
        return [copied(source.ring, slots[k : k + most]) for k in range(0, len(slots), most)]

    def _unwritten(self, source: ReplaySource) -> np.ndarray:
        kept = self._segments[source.name] = worth_keeping(source.ring, self._segments.get(source.name, []))
        return unwritten(source.ring, kept)

    def _load(self, source: ReplaySource, state: dict[str, Any], report: Callable[[str], None]) -> None:
        if self._folder is None:
            source.load_state_dict(state | {"ring": source.ring.state_dict()})
            return
        segments = [Segment(**segment) for segment in state.get("segments", {}).values()]
        ring = state.get("ring", source.ring.state_dict())
        source.load_state_dict(state | {"ring": ring}, read_segments(self._at(source), segments, report))
        self._segments[source.name] = [part for part in segments if np.isin(part.serial, source.ring.serial).any()]


def _without_columns(source: ReplaySource) -> dict[str, Any]:
    state = source.state_dict()
    return {key: value for key, value in state.items() if key != "ring"}
