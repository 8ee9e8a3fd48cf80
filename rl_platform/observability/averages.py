"""Running averages of named numbers."""

import math
from collections.abc import Mapping


class Averages:
    """Means of named values since they were last taken; a name once seen stays, with NaN when nothing came."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._counts: dict[str, int] = {}

    def add(self, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
            self._counts[name] = self._counts.get(name, 0) + 1

    def take(self) -> dict[str, float]:
        """The means; the next ones start from nothing."""
        means = {name: mean_of(total, self._counts[name]) for name, total in self._sums.items()}
        self._sums = dict.fromkeys(self._sums, 0.0)
        self._counts = dict.fromkeys(self._counts, 0)
        return means


def mean_of(total: float, count: int) -> float:
    """total / count; NaN for nothing."""
    return total / count if count else math.nan
