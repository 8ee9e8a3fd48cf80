"""`rl-platform train`: from a config to a finished run, in the wiring that the config names."""

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import torch

from configs.schema import Config
from rl_platform.core.spec import EnvSpec
from rl_platform.runtime import build
from rl_platform.runtime.checkpoint import State
from rl_platform.runtime.errors import InputError
from rl_platform.runtime.evaluation_schedule import EvaluationSchedule
from rl_platform.runtime.evaluators import local_evaluator
from rl_platform.runtime.inline import overlapped_training, serial_training
from rl_platform.runtime.launch import open_launch
from rl_platform.runtime.preflight import preflight
from rl_platform.runtime.replay_states import of_rank, restore, saved, section
from rl_platform.runtime.run import Run, log
from rl_platform.runtime.stop import StopRequest
from rl_platform.runtime.training import Training


def run_directory(config: Config, *, resume: bool = False) -> Path:
    """The folder that `run.dir` names, its placeholders filled in; InputError for a new folder to resume in."""
    if resume and "<timestamp>" in config.run.dir:
        raise InputError("--resume needs the run's folder: name it with --run.dir DIR")
    timestamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    name = config.run.dir.replace("<env>", re.sub(r"[^\w.-]+", "_", config.env.id)).replace("<timestamp>", timestamp)
    return Path(name)


def train(config: Config, directory: Path, *, resume: bool = False) -> tuple[dict[str, Any], int]:
    """Train as `config` says; returns the run's summary and the process's exit status.

    Exit status: 0 done, or ended by `rl-platform stop`; 1 failed, or its last state could not be saved; 128 + signal
    when a signal ended it. A run leaves a checkpoint of its last state however it ends, if anything was learned and
    the learner can still be asked.

    Raises:
      InputError: the config, the folder or the machine do not go together; no checkpoint or row was touched.
    """
    spec = preflight(config)
    with StopRequest(directory) as stop:
        launch = open_launch(config, directory, resume=resume)
        torch.set_num_threads(config.run.torch_threads)
        run = Run(config, directory, frame_skip=spec.frame_skip, launch=launch, stop=stop)
        try:
            state = _trained(config, spec, launch.restored, run)
        except InputError:
            run.finish("failed")
            raise
        except Exception:
            log.exception("the run failed")
            return run.finish("failed"), 1
        return _end(run, state)


def _end(run: Run, state: State | None) -> tuple[dict[str, Any], int]:
    """Save the last state (None: nothing was trained) and say how the run ended."""
    status = "stopped" if state is None or run.stop.made() else "done"
    if state is not None and run.save(state, status) is None:
        log.error("the last state of the run is lost")
        return run.finish("failed"), 1
    return run.finish(status), 0 if run.stop.signal is None else 128 + run.stop.signal


def _trained(config: Config, spec: EnvSpec, restored: State | None, run: Run) -> State | None:
    """The learner's last state; None if the run was asked to stop before it could train."""
    with opened_training(config, spec, restored, run) as training:
        if training is None:
            return None
        try:
            drive(config, training, run)
            return training.end()
        except Exception:
            state = training.rescue()
            run.finish_saving()
            if state is not None:
                run.save(state, "failed")
            raise
        finally:
            run.finish_saving()


def drive(config: Config, training: Training, run: Run) -> None:
    """Train until the run should stop, with metrics, checkpoints and evaluations on the way."""
    evaluations = EvaluationSchedule(config, run.directory, run, training.evaluator, start_env_steps=run.env_steps)
    try:
        while not run.should_stop():
            training.step()
            run.tick()
            if run.checkpoint_due():
                training.ask_for_checkpoint(run.save_soon)
            evaluations.tick(run.env_steps, training.ask_for_state)
    finally:
        evaluations.close()


@contextmanager
def opened_training(config: Config, spec: EnvSpec, restored: State | None, run: Run) -> Iterator[Training | None]:
    """Training in the wiring that the config names; None if the run was asked to stop before it could begin."""
    if config.cluster.mode == "inline":
        with _inline_training(config, spec, restored, run) as training:
            yield training
        return
    from rl_platform.runtime.ray_run import ray_training  # Ray is not needed, nor imported, for inline runs

    with ray_training(config, spec, restored, run) as training:
        yield training


@contextmanager
def _inline_training(config: Config, spec: EnvSpec, restored: State | None, run: Run) -> Iterator[Training]:
    learner = build.make_learner(config, spec)
    if restored is not None:
        learner.load_state_dict(restored)
    shard, contents = build.make_shard(config, spec), build.make_contents(config, run.directory)
    for line in restore(contents, shard.sources, of_rank(restored, 0)):
        log.info("%s", line)

    def replay_state(lock: AbstractContextManager[Any]) -> State:
        return section({0: saved(contents, shard.sources, run.segments_needed(), lock)})

    workers = [build.make_worker(config, actor, run.first_incarnation) for actor in range(config.actors.count)]
    evaluator = local_evaluator(config, run_is_ending=run.stop.made)
    limit_s = config.actors.step_timeout_s
    try:
        if config.cluster.pipeline == "serial":
            training = serial_training(workers, shard, learner, run, evaluator, replay_state, step_timeout_s=limit_s)
        else:
            throttle = build.throttle(config)
            training = overlapped_training(
                workers, shard, learner, run, evaluator, replay_state, throttle, step_timeout_s=limit_s
            )
        with training as opened:
            yield opened
    finally:
        for worker in workers:
            if not worker.stuck()[0]:  # an environment that hangs is left behind: closing it may hang too
                worker.close()
