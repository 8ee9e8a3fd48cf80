"""Replay contents on disk: segments of columns, each written once and verified when it is read.

    <folder>/<first serial>-<last serial>-<digest>.safetensors     a trajectory, columns first

The list of the segments that make up a ring belongs into a checkpoint, beside the ring's `state_dict`; it names each by
its sha256, so a checkpoint finds its own segments or none. The folder is one ring's alone.
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from replay.ring import ColumnRing, Stored
from rl_platform.core.types import Trajectory

_LEAST_HELD = 0.5
"""A segment of which less is still in the ring is given up, and what is still there written anew: else the disk would
fill with columns long evicted."""


class Segment(NamedTuple):
    """What a checkpoint keeps of a segment."""

    sha256: str
    serial: np.ndarray
    """[n] int64, of its columns, in their order."""

    @property
    def file(self) -> str:
        """Its name in the folder."""
        return f"{self.serial[0]}-{self.serial[-1]}-{self.sha256[:12]}.safetensors"


def write_segments(folder: Path, ring: ColumnRing, known: Sequence[Segment], *, most: int) -> list[Segment]:
    """Write those columns of the ring that no `known` segment holds, at most `most` to a segment.

    Returns the segments that now make up the ring. Files that are neither known nor returned are deleted: those of the
    checkpoint before stay until the next call, so that a process killed before its checkpoint is complete loses nothing
    that the last one needs.
    """
    folder.mkdir(parents=True, exist_ok=True)
    kept = [segment for segment in known if np.isin(segment.serial, ring.serial).mean() >= _LEAST_HELD]
    filled = ring.filled()
    slots = filled[np.argsort(ring.serial[filled])]
    if kept:
        slots = slots[~np.isin(ring.serial[slots], np.concatenate([segment.serial for segment in kept]))]
    written = [_write(folder, ring, slots[k : k + most]) for k in range(0, len(slots), most)]
    _delete_others(folder, {segment.file for segment in (*known, *written)})
    _sync(folder)
    return kept + written


def read_segments(folder: Path, segments: Sequence[Segment], report: Callable[[str], None]) -> Iterator[Stored]:
    """The columns of each segment in turn; those of a missing or damaged one are lost, and that is reported."""
    for segment in segments:
        try:
            steps = Trajectory(**load_tensors(_verified(folder / segment.file, segment.sha256)))
        except (OSError, ValueError) as error:
            report(f"replay segment passed over, its {len(segment.serial)} columns are lost: {error}")
            continue
        yield Stored(segment.serial, steps)


def _write(folder: Path, ring: ColumnRing, slots: np.ndarray) -> Segment:
    content = save_tensors(ring.read(slots)._asdict())
    segment = Segment(hashlib.sha256(content).hexdigest(), ring.serial[slots])
    unfinished = folder / f"{segment.file}.unfinished"
    with unfinished.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    unfinished.rename(folder / segment.file)
    return segment


def _verified(path: Path, sha256: str) -> bytes:
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ValueError(f"{path} is damaged (its sha256 is not the one in the checkpoint)")
    return content


def _delete_others(folder: Path, files: set[str]) -> None:
    for path in folder.glob("*.safetensors*"):
        if path.name not in files:
            path.unlink()


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
