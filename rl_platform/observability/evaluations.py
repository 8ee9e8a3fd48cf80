"""What the evaluations of a run found, for its metrics rows and its summary."""

import math
from typing import Any, NamedTuple

_SERIES = ("return_mean", "return_standard_error", "episodes", "env_steps")


class Evaluation(NamedTuple):
    """One finished evaluation: returns are raw, of whole games."""

    env_steps: int
    """Of the state that was evaluated, not of when it was finished."""
    episodes: int
    return_mean: float
    return_standard_error: float
    """Of the mean; NaN for a single episode."""
    best_return_mean: float
    """The highest mean of the run's evaluations so far, this one included."""
    best_env_steps: int
    """Of the state that reached it."""


class EvaluationSeries:
    """Keeps the newest evaluation."""

    def __init__(self) -> None:
        self._newest: Evaluation | None = None
        self._is_new = False

    def add(self, evaluation: Evaluation) -> None:
        self._newest, self._is_new = evaluation, True

    def take(self) -> dict[str, float]:
        """The numbers of a metrics row: NaN if no evaluation finished since the call before; none before the first."""
        if self._newest is None:
            return {}
        is_new, self._is_new = self._is_new, False
        return {f"eval/{name}": getattr(self._newest, name) if is_new else math.nan for name in _SERIES}

    def summary(self) -> dict[str, float]:
        """The newest and the best mean, as of the newest evaluation; NaN before the first."""
        newest = self._newest
        return {
            "eval_return_mean": newest.return_mean if newest else math.nan,
            "best_eval_return_mean": newest.best_return_mean if newest else math.nan,
            "best_eval_env_steps": newest.best_env_steps if newest else math.nan,
        }

    def state_dict(self) -> dict[str, Any]:
        """Plain JSON values, without NaN."""
        if self._newest is None:
            return {}
        return {name: None if math.isnan(value) else value for name, value in self._newest._asdict().items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where a checkpoint was; its evaluation has been in a row already."""
        values = {name: math.nan if value is None else value for name, value in state.items()}
        self._newest, self._is_new = Evaluation(**values) if values else None, False
