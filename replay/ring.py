"""Preallocated storage of columns: one slot holds one environment's T steps as one block of memory."""

import numpy as np

from rl_platform.core.types import PER_COLUMN, Trajectory, Unroll


class ColumnRing:
    """`capacity` slots, allocated at the first write. Index arithmetic is the caller's."""

    def __init__(self, capacity: int):
        self.capacity = capacity
        self.weight_version = np.zeros(capacity, np.int64)
        self._slots: Trajectory | None = None

    def write(self, slots: np.ndarray, unroll: Unroll, columns: slice) -> None:
        """Copy `columns` of an unroll into `slots`."""
        if self._slots is None:
            self._slots = Trajectory(*(self._allocate(name, array) for name, array in unroll.steps._asdict().items()))
        for name, stored, array in zip(Trajectory._fields, self._slots, unroll.steps, strict=True):
            stored[slots] = _columns_first(name, array)[columns]
        self.weight_version[slots] = unroll.origin.weight_version

    def read(self, slots: np.ndarray) -> Trajectory:
        """The columns in `slots`, columns first [B, T, …]: views when the slots are neighbours, copies otherwise."""
        assert self._slots is not None, "read before the first write"
        index = slice(slots[0], slots[-1] + 1) if slots[-1] - slots[0] == len(slots) - 1 else slots
        return Trajectory(*(stored[index] for stored in self._slots))

    def _allocate(self, name: str, array: np.ndarray) -> np.ndarray:
        column = _columns_first(name, array)[0]
        return np.zeros((self.capacity, *column.shape), column.dtype)


def _columns_first(name: str, array: np.ndarray) -> np.ndarray:
    return array if name in PER_COLUMN else array.swapaxes(0, 1)
