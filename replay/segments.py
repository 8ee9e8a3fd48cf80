"""Replay contents on disk: segments of columns, each written once and verified when it is read.

    <folder>/<first serial>-<last serial>-<digest>.safetensors     a trajectory, columns first

The list of the segments that make up a ring belongs into a checkpoint, beside the ring's `state_dict`; it names each by
its sha256, so a checkpoint finds its own segments or none. The folder is one ring's alone.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence, Set
from pathlib import Path
from typing import NamedTuple

import numpy as np
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from replay.ring import ColumnRing, Stored
from rl_platform.core.durable import sync_folder, write_synced
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


def worth_keeping(ring: ColumnRing, known: Sequence[Segment]) -> list[Segment]:
    """Those of `known` of which enough is still in the ring."""
    return [segment for segment in known if np.isin(segment.serial, ring.serial).mean() >= _LEAST_HELD]


def unwritten(ring: ColumnRing, kept: Sequence[Segment]) -> np.ndarray:
    """The slots of the columns that no `kept` segment holds, the oldest column first."""
    filled = ring.filled()
    slots = filled[np.argsort(ring.serial[filled])]
    written = np.concatenate([np.empty(0, np.int64), *(segment.serial for segment in kept)])
    return slots[~np.isin(ring.serial[slots], written)]


def copied(ring: ColumnRing, slots: np.ndarray) -> Stored:
    """The columns in `slots`, at least one, in memory of their own."""
    steps = ring.blank(len(slots))
    ring.copy_to(slots, steps)
    return Stored(ring.serial[slots], steps)


def write_segment(folder: Path, part: Stored) -> Segment:
    """Write columns to a file of their own, which is complete or not there."""
    folder.mkdir(parents=True, exist_ok=True)
    content = save_tensors(part.steps._asdict())
    segment = Segment(hashlib.sha256(content).hexdigest(), part.serial)
    unfinished = folder / f"{segment.file}.unfinished"
    write_synced(unfinished, content)
    unfinished.rename(folder / segment.file)
    sync_folder(folder)
    return segment


def delete_others(folder: Path, files: Set[str]) -> None:
    """Delete the segments that are not among `files`."""
    for path in folder.glob("*.safetensors*"):
        if path.name not in files:
            path.unlink()


def has_segments(folder: Path) -> bool:
    """Whether any column is there."""
    return any(folder.glob("*.safetensors"))


def read_segments(folder: Path, segments: Sequence[Segment], report: Callable[[str], None]) -> Iterator[Stored]:
    """The columns of each segment in turn; those of a missing or damaged one are lost, and that is reported."""
    for segment in segments:
        try:
            steps = Trajectory(**load_tensors(_verified(folder / segment.file, segment.sha256)))
        except (OSError, ValueError) as error:
            report(f"replay segment passed over, its {len(segment.serial)} columns are lost: {error}")
            continue
        yield Stored(segment.serial, steps)


def _verified(path: Path, sha256: str) -> bytes:
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ValueError(f"{path} is damaged (its sha256 is not the one in the checkpoint)")
    return content
