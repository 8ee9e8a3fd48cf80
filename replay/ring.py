"""Preallocated storage of columns: one slot holds one environment's T steps as one block of memory."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from rl_platform.core.types import Trajectory, Unroll, axes_swapped

EMPTY = -1
"""The serial of a slot that holds no column."""


class Stored(NamedTuple):
    """Columns that a ring gives away and takes back."""

    serial: np.ndarray
    """[n] int64."""
    steps: Trajectory
    """Columns first [n, T, …]."""


class ColumnRing:
    """`capacity` slots, allocated at the first write. Which slots to write and to read is the caller's choice.

    What it knows of each slot, all [capacity]: `serial` int64 (the column's number among all that the ring has seen, or
    EMPTY), `weight_version` int64, `origin` int64 (four numbers, as `Batch.origin`), `uses` int32 (counted by those who
    draw) and `distance` float32 (the last score; 0 for a new column, which its own weights have just made).
    """

    def __init__(self, capacity: int):
        self.capacity = capacity
        self.serial = np.full(capacity, EMPTY, np.int64)
        self.weight_version = np.zeros(capacity, np.int64)
        self.origin = np.zeros((capacity, 4), np.int64)
        self.uses = np.zeros(capacity, np.int32)
        self.distance = np.zeros(capacity, np.float32)
        self.seen = 0
        """Columns that came by, stored or not; the serial of the next one."""
        self._newest = 0
        self._slots: Trajectory | None = None

    def __len__(self) -> int:
        """Columns held."""
        return int(np.count_nonzero(self.serial != EMPTY))

    def filled(self) -> np.ndarray:
        """The slots that hold a column."""
        return np.flatnonzero(self.serial != EMPTY)

    def newest(self) -> np.ndarray:
        """The slots of the last unroll written; of the last column, if none of that unroll is here."""
        return np.flatnonzero(self.serial >= min(self._newest, self.serial.max()))

    def write(self, slots: np.ndarray, unroll: Unroll, columns: slice | np.ndarray) -> None:
        """Copy `columns` of an unroll into as many distinct `slots`; its other columns were seen and not kept."""
        num_columns = unroll.steps.action.shape[1]
        self._put(slots, axes_swapped(unroll.steps), columns)
        self.serial[slots] = self.seen + np.arange(num_columns)[columns]
        *source, self.weight_version[slots] = unroll.origin
        self.origin[slots, :3], self.origin[slots, 3] = source, np.arange(num_columns)[columns]
        self.uses[slots] = 0
        self.distance[slots] = 0.0
        self._newest = self.seen
        self.seen += num_columns

    def read(self, slots: np.ndarray) -> Trajectory:
        """The columns in `slots`, columns first [B, T, …]: views when the slots are neighbours, copies otherwise."""
        neighbours = bool((np.diff(slots) == 1).all())
        index = slice(slots[0], slots[-1] + 1) if neighbours else slots
        return Trajectory(*(stored[index] for stored in self._written()))

    def move(self, slots: np.ndarray, to: np.ndarray) -> None:
        """Copy the columns in `slots`, with what is known of them, to as many slots; the old ones keep theirs."""
        if np.array_equal(slots, to):
            return
        for array in (self.serial, self.weight_version, self.origin, self.uses, self.distance, *self._written()):
            array[to] = array[slots]

    def blank(self, num_columns: int) -> Trajectory:
        """Fresh memory for so many columns, contents undefined."""
        return Trajectory(*(np.empty((num_columns, *stored.shape[1:]), stored.dtype) for stored in self._written()))

    def copy_to(self, slots: np.ndarray, rows: Trajectory) -> None:
        """Copy the columns in `slots` into `rows` [len(slots), T, …], once."""
        for stored, into in zip(self._written(), rows, strict=True):
            stored.take(slots, axis=0, out=into, mode="clip")  # mode "raise" would copy by way of a buffer

    def state_dict(self) -> dict[str, Any]:
        """What it knows of its columns, without the columns."""
        return {
            "seen": self.seen,
            "newest": self._newest,
            "serial": self.serial.copy(),
            "weight_version": self.weight_version.copy(),
            "origin": self.origin.copy(),
            "uses": self.uses.copy(),
            "distance": self.distance.copy(),
        }

    def restore(self, state: dict[str, Any], stored: Iterable[Stored]) -> None:
        """Put back into their slots the columns that `state` knows; slots whose column does not come back are empty.

        If nothing comes back, the ring begins empty.

        Raises:
          ValueError: the state is of a ring of another capacity.
        """
        if len(state["serial"]) != self.capacity:
            raise ValueError(f"replay contents of {len(state['serial'])} columns do not fit a capacity of "
                             f"{self.capacity}; set the source's capacity back, or resume without them")  # fmt: skip
        self.serial[:] = EMPTY
        slot_of = {serial: slot for slot, serial in enumerate(state["serial"].tolist()) if serial != EMPTY}
        for part in stored:
            columns = np.flatnonzero(np.isin(part.serial, state["serial"]))
            slots = np.array([slot_of[serial] for serial in part.serial[columns].tolist()], np.int64)
            self._put(slots, part.steps, columns)
            self.serial[slots] = part.serial[columns]
        self.weight_version[:] = state["weight_version"]
        self.origin[:] = state["origin"]
        self.uses[:], self.distance[:] = state["uses"], state["distance"]
        self.seen, self._newest = (state["seen"], state["newest"]) if len(self) else (0, 0)

    def _put(self, slots: np.ndarray, steps: Trajectory, columns: slice | np.ndarray) -> None:
        """`steps` columns first."""
        if self._slots is None:
            self._slots = Trajectory(*(np.zeros((self.capacity, *array.shape[1:]), array.dtype) for array in steps))
        for stored, array in zip(self._slots, steps, strict=True):
            stored[slots] = array[columns]

    def _written(self) -> Trajectory:
        assert self._slots is not None, "read before the first write"
        return self._slots
