"""`rl-platform train`: from a config to a finished run, in the wiring that the config names."""

import re
from datetime import datetime
from pathlib import Path
from typing import Any

import torch

from configs.explain import to_yaml
from configs.schema import Config
from rl_platform.core.allocator import keep_freed_memory
from rl_platform.core.spec import EnvSpec
from rl_platform.runtime import build
from rl_platform.runtime.checkpoint import State, checkpoints, load_newest
from rl_platform.runtime.errors import InputError
from rl_platform.runtime.inline import run_overlapped, run_serial
from rl_platform.runtime.run import Run, log


def run_directory(config: Config) -> Path:
    """The folder that `run.dir` names, its placeholders filled in."""
    timestamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    name = config.run.dir.replace("<env>", re.sub(r"[^\w.-]+", "_", config.env.id)).replace("<timestamp>", timestamp)
    return Path(name)


def train(config: Config, directory: Path, *, resume: bool = False) -> tuple[dict[str, Any], int]:
    """Train as `config` says; returns the run's summary and the process's exit status.

    Exit status: 0 done, or ended by `rl-platform stop`; 1 failed; 128 + signal when a signal ended it. A run that ends
    in any way but by failing leaves a checkpoint.
    """
    restored = _restored(directory, resume)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.yaml").write_text(to_yaml(config))
    keep_freed_memory()
    torch.set_num_threads(config.run.torch_threads)
    spec = build.env_spec(config)
    run = Run(config, directory, frame_skip=spec.frame_skip, restored=restored and restored.pop("run"))
    run.stop.install()
    try:
        state = _train(config, spec, restored, run)
    except Exception:
        log.exception("the run failed")
        return run.finish("failed"), 1
    number = run.stop.signal
    status = "done" if number is None and not run.stop.by_file else "stopped"
    run.save(state, status)
    return run.finish(status), 0 if number is None else 128 + number


def _train(config: Config, spec: EnvSpec, restored: State | None, run: Run) -> State:
    if config.cluster.mode == "ray":
        from rl_platform.runtime.ray_run import train_over_ray  # Ray is not needed, nor imported, for inline runs

        return train_over_ray(config, spec, restored, run)
    return _train_inline(config, spec, restored, run)


def _train_inline(config: Config, spec: EnvSpec, restored: State | None, run: Run) -> State:
    learner = build.make_learner(config, spec)
    if restored is not None:
        learner.load_state_dict(restored)
    shard = build.make_shard(config)
    workers = [build.make_worker(config, actor, run.first_incarnation) for actor in range(config.actors.count)]
    try:
        if config.cluster.pipeline == "serial":
            run_serial(workers, shard, learner, run)
        else:
            run_overlapped(workers, shard, learner, run, build.throttle(config))
    finally:
        for worker in workers:
            worker.close()
    return learner.state_dict()


def _restored(directory: Path, resume: bool) -> State | None:
    root = directory / "checkpoints"
    if not resume:
        if checkpoints(root) or (directory / "metrics.jsonl").exists():
            raise InputError(f"{directory} already holds a run: continue it with --resume, or name another --run.dir")
        return None
    found = load_newest(root, log.warning)
    if found is None:
        log.warning("%s holds no checkpoint to resume from: starting anew", directory)
        return None
    path, state = found
    log.info("resuming from %s", path)
    return state
