"""How named numbers were distributed since they were last taken."""

from collections.abc import Mapping

import numpy as np

QUANTILES = {"p50": 0.5, "p90": 0.9}


class Samples:
    """Keeps every value of each name until it is taken; a name once seen stays, without values when nothing came."""

    def __init__(self) -> None:
        self._parts: dict[str, list[np.ndarray]] = {}

    def add(self, samples: Mapping[str, np.ndarray]) -> None:
        for name, values in samples.items():
            self._parts.setdefault(name, []).append(values)

    def take(self) -> dict[str, np.ndarray]:
        """The values [K] by name; the next ones start from nothing."""
        taken = {name: np.concatenate([np.zeros(0), *parts]) for name, parts in self._parts.items()}
        self._parts = {name: [] for name in self._parts}
        return taken


def quantiles(samples: Mapping[str, np.ndarray]) -> dict[str, float]:
    """`<name>_p50` and `<name>_p90` of each; NaN for nothing."""
    return {
        f"{name}_{suffix}": float(np.quantile(values, level)) if values.size else np.nan
        for name, values in samples.items()
        for suffix, level in QUANTILES.items()
    }
