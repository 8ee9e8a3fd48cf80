"""Recurrences along the steps of single environments, carried on from batch to batch."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np


class _Carried(NamedTuple):
    incarnation: int
    sequence: int
    value: float


class Streams:
    """y_t = x_t + d_t · y_{t−1} along each environment's steps, for a recurrence that must not end with an unroll.

    A stream is an environment of an actor. It begins anew when its actor is replaced and when an unroll is
    missing. Each of its unrolls must come once, in sequence.

    Args:
      before: y before the first step that is seen, and after one that was not finite; NaN: unknown until d is 0.
    """

    def __init__(self, before: float = 0.0) -> None:
        self._before = before
        self._last: dict[tuple[int, int], _Carried] = {}

    def scan(self, increments: np.ndarray, decays: np.ndarray, origin: np.ndarray) -> np.ndarray:
        """y [B, T] float64 of B columns of T steps.

        Args:
          increments: x [B, T].
          decays: d [B, T].
          origin: [B, 4] as `Batch.origin`; columns in any order.
        """
        out = np.empty(increments.shape)
        for columns in _rounds(origin):
            out[columns] = _scan(self._carried(origin[columns]), increments[columns], decays[columns])
            self._carry(origin[columns], out[columns, -1])
        return out

    def _carried(self, origin: np.ndarray) -> np.ndarray:
        """y before the first step of each column [n]."""
        found = np.full(len(origin), self._before)
        for column, (actor, incarnation, sequence, env) in enumerate(origin.tolist()):
            last = self._last.get((actor, env))
            if last is not None and (last.incarnation, last.sequence + 1) == (incarnation, sequence):
                found[column] = last.value
        return found

    def _carry(self, origin: np.ndarray, values: np.ndarray) -> None:
        for (actor, incarnation, sequence, env), value in zip(origin.tolist(), values.tolist(), strict=True):
            self._last[actor, env] = _Carried(incarnation, sequence, value if math.isfinite(value) else self._before)


def _rounds(origin: np.ndarray) -> Iterator[np.ndarray]:
    """All columns, in parts in which no environment comes twice; those of one environment in sequence."""
    left = np.lexsort((origin[:, 2], origin[:, 1]))
    while len(left):
        _, first = np.unique(origin[left][:, [0, 3]], axis=0, return_index=True)
        yield left[first]
        left = np.delete(left, first)


def _scan(start: np.ndarray, increments: np.ndarray, decays: np.ndarray) -> np.ndarray:
    """[n, T] from y before them [n], which is forgotten where d is 0, NaN too."""
    out, y = np.empty(increments.shape), start
    for t in range(increments.shape[1]):
        y = out[:, t] = increments[:, t] + np.where(decays[:, t] == 0, 0.0, decays[:, t] * y)
    return out
