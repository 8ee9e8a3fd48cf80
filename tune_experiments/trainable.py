"""A run as a trial of Ray Tune."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ray import tune

from configs.loader import load_config
from configs.schema import Config
from rl_platform.runtime.errors import InputError
from tune_experiments.hosted_run import HostedRun


class TrialSettings(NamedTuple):
    """What a trial's config says beside the hyper-parameters."""

    config: str
    """The configuration that the hyper-parameters are laid over: a path, or a shipped name."""
    report_every_env_steps: int
    """Between two results, each with a checkpoint."""
    results: str
    """Folder in which each trial has its run's folder, named by the trial's id; every node must see it."""
    gpus: float
    """That Ray sets aside for a trial."""


class RunTrial(tune.Trainable):
    """Trains in the trial's own process (`cluster.mode: inline`).

    The trial's config has the fields of `TrialSettings`, and hyper-parameters named like keys of a configuration, such
    as "learner.discount". A checkpoint holds what was learned and counted, no hyper-parameter: after a restore those of
    the trial hold, also when a scheduler has changed them meanwhile.
    """

    @classmethod
    def default_resource_request(cls, config: dict[str, Any]) -> tune.PlacementGroupFactory:
        """One bundle: the trial has no processes beside its own."""
        settled = settled_config(config)
        threads = 2 if settled.cluster.pipeline == "overlapped" else 1
        wanted = {"CPU": threads * settled.run.torch_threads, "GPU": trial_settings(config).gpus}
        return tune.PlacementGroupFactory([{kind: number for kind, number in wanted.items() if number}])

    def setup(self, config: dict[str, Any]) -> None:
        """Remember what to run; it begins with the first step, when it is known whether it restarts."""
        self._settings, self._settled = trial_settings(config), settled_config(config | {"logging.progress": "off"})
        self._run: HostedRun | None = None
        self._last_checkpoint: Path | None = None

    def step(self) -> dict[str, Any]:
        """Train for `report_every_env_steps`; the run's summary, e.g. env_steps and episode_return_mean."""
        report = self._begun().advance(self._settings.report_every_env_steps)
        self._last_checkpoint = report.checkpoint
        return report.summary | {"run_dir": str(self._directory), "done": report.ended}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """The checkpoint of the last step."""
        assert self._last_checkpoint is not None, "Tune saves a trial after one of its results"
        shutil.copytree(self._last_checkpoint, Path(checkpoint_dir) / self._last_checkpoint.name)

    def load_checkpoint(self, checkpoint_dir: str) -> None:
        """Go on from here, in place of what this trial did before."""
        (checkpoint,) = Path(checkpoint_dir).glob("[0-9]*")
        self.cleanup()
        self._run = HostedRun(self._settled, self._directory, checkpoint)
        self._last_checkpoint = self._directory / "checkpoints" / checkpoint.name

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Become another trial in the same process."""
        self.cleanup()
        self.setup(new_config)
        return True

    def cleanup(self) -> None:
        """End the run, if one has begun."""
        if self._run is not None:
            self._run.close()
            self._run = None

    @property
    def _directory(self) -> Path:
        return Path(self._settings.results) / self.trial_id

    def _begun(self) -> HostedRun:
        if self._run is None:
            self._run = HostedRun(self._settled, self._directory)
        return self._run


def trial_settings(config: Mapping[str, Any]) -> TrialSettings:
    """The part of a trial's config that is no hyper-parameter."""
    return TrialSettings(*(config[field] for field in TrialSettings._fields))


def settled_config(config: Mapping[str, Any]) -> Config:
    """The configuration of a trial: its file, under its hyper-parameters.

    Raises:
      ConfigError: a hyper-parameter is no key, or is out of its range.
      InputError: the configuration does not run in one process.
    """
    chosen = [f"--{key}={json.dumps(value)}" for key, value in config.items() if key not in TrialSettings._fields]
    settled = load_config(config["config"], chosen)
    if settled.cluster.mode != "inline":
        raise InputError(f"{config['config']}: trials run in one process each; set cluster.mode to inline")
    return settled
