"""What a search shows in a terminal: a line for each report, and a table at the end."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from ray import tune
from ray.tune.experiment import Trial
from ray.tune.result_grid import ResultGrid
from rich.console import Console
from rich.table import Table

_WIDTH_WITHOUT_TERMINAL = 120


class ReportLines(tune.Callback):
    """Prints one line when a trial reports, and one when its process has died."""

    def __init__(self, metric: str):
        self._metric = metric

    def on_trial_result(self, iteration: int, trials: list[Trial], trial: Trial, result: Mapping[str, Any],
                        **info: Any) -> None:  # fmt: skip
        """A trial has reported."""
        print(f"{trial.trial_id}: {result['env_steps']:,} env steps, {self._metric} {result[self._metric]:.1f}")

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A trial has failed and will go on from its last checkpoint."""
        print(f"{trial.trial_id}: failed; goes on from its last checkpoint")


def print_table(grid: ResultGrid, metric: str, keys: Sequence[str]) -> None:
    """One line a trial: its id, how far it came, the metric of its last report, and its hyper-parameters."""
    table = Table("trial", "env_steps", metric, *(key.rpartition(".")[2] for key in keys), "")
    for result in grid:
        metrics = result.metrics or {}
        table.add_row(
            metrics.get("trial_id", "?"),
            f"{metrics.get('env_steps', 0):,}",
            f"{metrics.get(metric, float('nan')):.1f}",
            *(f"{value:.3g}" if isinstance(value := result.config[key], float) else str(value) for key in keys),
            "failed" if result.error else "",
        )
    Console(width=None if sys.stdout.isatty() else _WIDTH_WITHOUT_TERMINAL).print(table)
