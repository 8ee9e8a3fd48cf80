"""A question about hyper-parameters, and its answer by trials."""

import json
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import ray
from ray import tune
from ray.tune.result_grid import ResultGrid
from ray.tune.schedulers import TrialScheduler
from ray.tune.search.sample import Domain

from configs.explain import to_yaml
from configs.loader import load_config
from configs.schema import Config
from rl_platform.observability.files import write_atomic
from rl_platform.runtime.errors import blaming
from rl_platform.runtime.preflight import preflight
from rl_platform.runtime.ray_cluster import check_listening
from tune_experiments.shown import ReportLines, print_table
from tune_experiments.trainable import RunTrial, TrialSettings, settled_config

# Ray puts the driver's working folder first in every worker's path, where a user's own packages may bear our names.
_RUNTIME_ENV = {"worker_process_setup_hook": "tune_experiments.search.import_rooms"}


@dataclass(frozen=True)
class Search:
    """One question: what is varied over which configuration, and how trials are chosen and ended.

    Each trial is a run with a folder of its own; it reports, with a checkpoint, every `report_every_env_steps`. A trial
    whose process dies goes on from its last checkpoint, at most `max_failures` times.
    """

    question: str
    """Its first line is shown; a search file's docstring serves well."""
    config: str
    """What the space is laid over: a path, or a shipped name; it must have `cluster.mode: inline`."""
    space: Mapping[str, Domain | Any]
    """Keys of a configuration, such as "learner.discount", and where their values come from."""
    scheduler: Callable[[], TrialScheduler]
    """Makes what ends trials early, or changes them."""
    env_steps: int
    """A trial ends here."""
    report_every_env_steps: int
    trials: int
    max_failures: int = 3
    gpus_per_trial: float = 0.0
    """What Ray sets aside; a trial that is to use it has `learner.device: cuda`, or auto."""
    metric: str = "episode_return_mean"
    mode: Literal["max", "min"] = "max"
    fixed: Mapping[str, Any] = field(default_factory=dict)
    """Keys of a configuration that all trials share."""

    def run(self, results: Path, *, trials: int | None = None, max_seconds: float | None = None) -> int:
        """Run the trials; prints a table of them and writes the best one's config. Exit status: 1 if any trial failed.

        Args:
          results: a new folder, absolute, that every node sees.
          trials: in place of the search's own number.
          max_seconds: no trial goes on after that.

        Raises:
          ConfigError, InputError: the space does not fit the configuration, or the results' folder is in use.
        """
        base = load_config(self.config, [f"--{key}={json.dumps(value)}" for key, value in self.fixed.items()])
        self._check()
        _write_base(results, base)
        print(self.question.strip().splitlines()[0])
        _connect()
        try:
            grid = self._tuner(results, trials or self.trials, max_seconds).fit()
        finally:
            ray.shutdown()
        return self._answer(grid, results)

    def _check(self) -> None:
        """ConfigError or InputError if one sample of the space does not go with the configuration."""
        drawn = {key: value.sample() if isinstance(value, Domain) else value for key, value in self.space.items()}
        preflight(settled_config({"config": self.config, **self.fixed, **drawn}))

    def _tuner(self, results: Path, trials: int, max_seconds: float | None) -> tune.Tuner:
        settings = TrialSettings(str(_base(results)), self.report_every_env_steps, str(results), self.gpus_per_trial)
        return tune.Tuner(
            RunTrial,
            param_space={**settings._asdict(), **self.space},
            tune_config=tune.TuneConfig(
                metric=self.metric,
                mode=self.mode,
                scheduler=self.scheduler(),
                num_samples=trials,
                time_budget_s=max_seconds,
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(
                name="tune",
                storage_path=str(results),
                stop={"env_steps": self.env_steps},
                failure_config=tune.FailureConfig(max_failures=self.max_failures),
                checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=1, num_to_keep=2),
                callbacks=[ReportLines(self.metric)],
                verbose=0,
            ),
        )

    def _answer(self, grid: ResultGrid, results: Path) -> int:
        print_table(grid, self.metric, tuple(self.space))
        reported = [result for result in grid if math.isfinite((result.metrics or {}).get(self.metric, math.nan))]
        if not reported:
            print(f"no trial has reported {self.metric}")
            return 1
        sign = {"max": 1, "min": -1}[self.mode]
        best = max(reported, key=lambda result: sign * result.metrics[self.metric])
        path = results / "best.yaml"
        write_atomic(path, to_yaml(settled_config(best.config)).encode())
        print(f"best: {best.metrics['trial_id']} with {self.metric} {best.metrics[self.metric]:.1f}; config: {path}")
        return 1 if grid.num_errors else 0


def import_rooms() -> None:
    """Nothing more to do: whoever can call this has imported every room of ours, by way of this module."""


def _base(results: Path) -> Path:
    """What the trials' hyper-parameters are laid over: one resolved file that every node sees."""
    return results / "base.yaml"


def _write_base(results: Path, base: Config) -> None:
    with blaming(f"--results {results}", OSError):
        results.mkdir(parents=True)
        write_atomic(_base(results), to_yaml(base).encode())


def _connect() -> None:
    """Join the Ray that RAY_ADDRESS names (a job's own Ray), or start a local one with all CPUs of this machine."""
    os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")  # Tune would end well, as if the search were over
    os.environ.setdefault("TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S", "0")  # reports may come fast
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    address = os.environ.get("RAY_ADDRESS")
    if address:
        with blaming(f"RAY_ADDRESS {address}", OSError, RuntimeError, ValueError):
            check_listening(address)
            ray.init(address=address, log_to_driver=False, runtime_env=_RUNTIME_ENV)
    else:
        ray.init(address="local", include_dashboard=False, log_to_driver=False, runtime_env=_RUNTIME_ENV)
