"""A real run over Ray, measured from inside: env steps per second, and CPU time spent outside the stages."""

import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from configs.schema import Config
from rl_platform.core.types import UpdateInfo
from rl_platform.runtime import build
from rl_platform.runtime import train as training
from rl_platform.runtime.bench import probe
from rl_platform.runtime.bench.accounting import Look, Pipeline, per_env_steps, used
from rl_platform.runtime.bench.apart import run_apart
from rl_platform.runtime.bench.cpu import CpuWatch
from rl_platform.runtime.errors import InputError
from rl_platform.runtime.run import Run

_POLL_S = 0.25
_QUIET_POLLS = 4
_NEVER_S = 1e9


def check_own_ray(config: Config) -> None:
    """InputError if the run could not be told from others, or not be held."""
    if config.cluster.address is not None:
        raise InputError("bench measures a Ray that it starts itself: leave cluster.address at null")
    if config.cluster.feeder == "actor":
        raise InputError("bench lets the actors idle by holding the driver's feeder: set cluster.feeder to driver")


def measure_pipeline(config: Config, *, seconds: float, warm_up_s: float = 5.0) -> Pipeline:
    """Train over a Ray of its own for `warm_up_s` + `seconds`, then let the same actors idle for `seconds`."""
    return run_apart(_measure, config, seconds, warm_up_s)


def _measure(config: Config, seconds: float, warm_up_s: float) -> Pipeline:
    """In a process of its own, whose descendants are the run's alone."""
    os.environ.pop("RAY_ADDRESS", None)
    with tempfile.TemporaryDirectory() as folder:
        counters = Path(folder) / "counters"
        counters.mkdir()
        script = _Script(counters, seconds, warm_up_s)
        # Such a run differs from any other in these three, which its process and Ray's workers are given instead.
        build.make_worker = partial(probe.make_worker, counters)
        build.make_learner = partial(probe.make_learner, counters)
        training.Run = partial(_MeasuredRun, script)
        summary, _ = training.train(_endless(config), Path(folder) / "run")
    if script.found is None:
        raise RuntimeError(f"the measured run ended as {summary['status']} before its time: its log is above")
    return script.found


def _endless(config: Config) -> Config:
    run = {"total_env_steps": 10**13, "max_seconds": None, "checkpoint_every_s": _NEVER_S}
    changed = {
        "run": config.run.model_copy(update=run),
        "logging": config.logging.model_copy(update={"progress": "off"}),
        "cluster": config.cluster.model_copy(update={"mode": "ray"}),
    }
    return config.model_copy(update=changed)


@dataclass
class _Script:
    """How a run is measured, and what was found."""

    counters: Path
    seconds: float
    warm_up_s: float
    found: Pipeline | None = None


class _MeasuredRun(Run):
    """A run that looks at itself between two things that it does, then stops handing out work, looks again and ends."""

    def __init__(self, script: _Script, *arguments: Any, **settings: Any):
        super().__init__(*arguments, **settings)
        self._script = script
        self._watch = CpuWatch()
        self._updates: list[tuple[float, int]] = []
        self._parent = os.getppid()
        self._steps = self._measure()

    def add_update(self, info: UpdateInfo) -> None:
        super().add_update(info)
        self._updates.append((time.monotonic(), info.env_steps))

    def tick(self) -> None:
        super().tick()
        if next(self._steps, "done") == "done" or os.getppid() != self._parent:
            self.stop.by_file = True

    def _measure(self) -> Iterator[None]:
        """One step a tick: start up, warm up, train, idle."""
        while not self._updates:
            yield
        yield from _until(time.monotonic() + self._script.warm_up_s)
        self._updates.clear()
        before = self._look()
        yield from _until(before.at_s + self._script.seconds)
        busy = used(before, self._look())
        if len(self._updates) < 2:
            raise RuntimeError("too few updates to measure a rate: give the run more time")
        (first_s, first), (last_s, last) = self._updates[0], self._updates[-1]
        self._wait_until_quiet()
        before = self._look()
        time.sleep(self._script.seconds)  # this thread hands out the work: the actors have none
        idle = used(before, self._look())
        self._script.found = per_env_steps((last - first) / (last_s - first_s), self._script.seconds, busy, idle)

    def _look(self) -> Look:
        processes, folder = self._watch.look(), self._script.counters
        stages = {pid: probe.stages_of(folder, pid, process) for pid, process in processes.items()}
        return Look(time.monotonic(), processes, stages)

    def _wait_until_quiet(self) -> None:
        """What the actors were asked before has been done."""
        quiet = 0
        while quiet < _QUIET_POLLS:
            time.sleep(_POLL_S)
            quiet = 0 if probe.at_work(self._script.counters) else quiet + 1


def _until(end_s: float) -> Iterator[None]:
    while time.monotonic() < end_s:
        yield
