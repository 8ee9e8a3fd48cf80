"""CPU counters around our three stages, put into the processes of a measured run; no other run has them.

Each process counts in a small file of its own, which is read while it runs:

    [env, inference, update]  CPU seconds of the calling thread in finished calls
    [stage, thread, began]    the call under way: its index above, its thread's id, that thread's CPU time at its start

ALE steps in C++ threads as well. They are told by their name, which they inherit from the thread that makes them.
"""

import functools
import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from actors.envs.ale import AleVectorEnv
from actors.policy import TorchPolicy
from actors.rollout_worker import RolloutWorker
from learners.learner import Learner
from rl_platform.runtime import build
from rl_platform.runtime.bench.cpu import Process

STAGES = ("env", "inference", "update")
_STAGE, _THREAD, _BEGAN = 3, 4, 5
_POOL = "ale-pool"


def make_worker(folder: Path, *arguments: Any, **settings: Any) -> RolloutWorker:
    """In place of `build.make_worker` of a measured run: the same worker, counted."""
    install(folder)
    return build.make_worker(*arguments, **settings)


def make_learner(folder: Path, *arguments: Any, **settings: Any) -> Learner:
    """In place of `build.make_learner` of a measured run: the same learner, counted."""
    install(folder)
    return build.make_learner(*arguments, **settings)


def install(folder: Path) -> None:
    """Count the stages of this process from now on, in `folder`."""
    counters = np.memmap(folder / str(os.getpid()), np.float64, "w+", shape=(6,))
    counters[_BEGAN] = math.nan
    AleVectorEnv.__init__ = _naming_threads(AleVectorEnv.__init__)
    AleVectorEnv.step = _counted(AleVectorEnv.step, counters, STAGES.index("env"))
    TorchPolicy.act = _counted(TorchPolicy.act, counters, STAGES.index("inference"))
    Learner.update = _counted(Learner.update, counters, STAGES.index("update"))


def _counted(method: Callable[..., Any], counters: np.ndarray, stage: int) -> Callable[..., Any]:
    @functools.wraps(method)
    def counted(*arguments: Any, **settings: Any) -> Any:
        began = time.thread_time()
        counters[_STAGE:] = stage, threading.get_native_id(), began
        try:
            return method(*arguments, **settings)
        finally:
            counters[_BEGAN] = math.nan
            counters[stage] += time.thread_time() - began

    return counted


def _naming_threads(constructor: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(constructor)
    def naming(*arguments: Any, **settings: Any) -> None:
        with _named(_POOL):
            constructor(*arguments, **settings)

    return naming


@contextmanager
def _named(name: str) -> Iterator[None]:
    """The calling thread has this name, which the threads that it makes inherit and keep."""
    path = Path(f"/proc/self/task/{threading.get_native_id()}/comm")
    before = path.read_text()
    path.write_text(name)
    try:
        yield
    finally:
        path.write_text(before)


def stages_of(folder: Path, pid: int, process: Process) -> dict[str, float]:
    """CPU seconds of each stage in a process so far, the call under way included; zeros if it hosts none."""
    path = folder / str(pid)
    if not path.exists():
        return dict.fromkeys(STAGES, 0.0)
    counters = np.fromfile(path, np.float64)
    stages = dict(zip(STAGES, counters[: len(STAGES)].tolist(), strict=True))
    thread = process.threads.get(int(counters[_THREAD]))
    if thread is not None and not math.isnan(counters[_BEGAN]):
        stages[STAGES[int(counters[_STAGE])]] += max(0.0, thread.cpu_s - counters[_BEGAN])
    stages["env"] += sum(thread.cpu_s for thread in process.threads.values() if thread.name == _POOL)
    return stages


def at_work(folder: Path) -> bool:
    """Whether any process is in one of the stages right now."""
    return any(not math.isnan(np.fromfile(path, np.float64)[_BEGAN]) for path in folder.iterdir())
