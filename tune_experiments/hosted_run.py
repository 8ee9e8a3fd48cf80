"""A run that goes on when it is asked to: the same run as `rl-platform train`, its loop left to the caller."""

import json
import math
import shutil
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, NamedTuple

import torch

from configs.schema import Config
from rl_platform.runtime.checkpoint import checkpoints
from rl_platform.runtime.evaluation_schedule import EvaluationSchedule
from rl_platform.runtime.launch import open_launch
from rl_platform.runtime.preflight import preflight
from rl_platform.runtime.run import Run
from rl_platform.runtime.stop import StopRequest
from rl_platform.runtime.train import opened_training


class Report(NamedTuple):
    """Where a run stands after a stretch of training."""

    summary: dict[str, Any]
    """That of summary.json; NaN where a value does not exist yet."""
    checkpoint: Path
    """Of exactly this moment."""
    ended: bool
    """It has reached its own end, or `rl-platform stop` asked for it."""


class HostedRun:
    """A run of `cluster.mode: inline` in this process; owns its folder until it is closed.

    Args:
      directory: the run's folder; what it holds is continued.
      checkpoint: continued in place of the folder's own ones, under the present config: nothing of the config comes
        from a checkpoint.

    Raises:
      InputError: config, folder, checkpoint and machine do not go together.
    """

    def __init__(self, config: Config, directory: Path, checkpoint: Path | None = None):
        self._directory = directory
        self._sound = False
        spec = preflight(config)
        torch.set_num_threads(config.run.torch_threads)
        with ExitStack() as opened:
            self._stop = StopRequest(directory)  # signals remain with the process that hosts the run
            opened.callback(self._stop.release)
            if checkpoint is not None:
                _put_in_place(checkpoint, directory / "checkpoints")
            launch = open_launch(config, directory, resume=_holds_a_run(directory))
            self._run = Run(config, directory, frame_skip=spec.frame_skip, launch=launch, stop=self._stop)
            opened.callback(self._finish)
            self._training = opened.enter_context(opened_training(config, spec, launch.restored, self._run))
            self._evaluations = opened.enter_context(closing(self._evaluations_of(config)))
            self._opened = opened.pop_all()
        self._sound = True

    def advance(self, env_steps: int) -> Report:
        """Train for so many env steps more, or to the run's end, and write a checkpoint.

        Raises:
          OSError: the checkpoint could not be written.
        """
        self._sound = False  # until this has come to its end
        target = self._run.env_steps + env_steps
        while self._run.env_steps < target and not self._run.should_stop():
            self._training.step()
            self._run.tick()
            self._evaluations.tick(self._run.env_steps, self._training.ask_for_state)
        saved: list[Path | None] = []
        self._training.ask_for_checkpoint(lambda state: saved.append(self._run.save(state)))  # inline: at once
        if saved[0] is None:
            raise OSError(f"{self._directory}: the checkpoint was not written; log.txt says why")
        self._sound = True
        return Report(self._summary(), saved[0], self._run.should_stop())

    def close(self) -> None:
        """Give folder and environments back."""
        self._opened.close()

    def _finish(self) -> None:
        self._run.finish_saving()
        ended = "done" if self._run.should_stop() and not self._stop.made() else "stopped"
        self._run.finish(ended if self._sound else "failed")

    def _evaluations_of(self, config: Config) -> EvaluationSchedule:
        start = self._run.env_steps
        return EvaluationSchedule(config, self._directory, self._run, self._training.evaluator, start_env_steps=start)

    def _summary(self) -> dict[str, Any]:
        summary = json.loads((self._directory / "summary.json").read_bytes())
        return {name: math.nan if value is None else value for name, value in summary.items()}


def _holds_a_run(directory: Path) -> bool:
    return (directory / "config.yaml").exists() or bool(checkpoints(directory / "checkpoints"))


def _put_in_place(checkpoint: Path, root: Path) -> None:
    """Make `checkpoint` the only one: whatever else the folder went through is not this run's past any more."""
    for old in checkpoints(root):
        shutil.rmtree(old)
    shutil.copytree(checkpoint, root / checkpoint.name)
