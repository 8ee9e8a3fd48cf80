"""From two looks at a run's processes to CPU time in the stages and outside them."""

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from rl_platform.runtime.bench.cpu import Process

ENV_STEPS = 640
"""What CPU time is given per: an unroll of 32 environments × 20 steps."""


class Look(NamedTuple):
    """What had been used at one moment, by process id."""

    at_s: float
    processes: dict[int, Process]
    stages: dict[int, dict[str, float]]
    """CPU seconds of each stage."""


class Used(NamedTuple):
    """CPU time over an interval, in seconds per second."""

    stages: dict[str, float]
    """By stage."""
    outside: dict[str, float]
    """By process, what is no stage's."""
    threads: dict[str, float]
    """By process and thread, stages included; threads that ended are missing."""


class Pipeline(NamedTuple):
    """What a run did, and what it cost per `ENV_STEPS` env steps."""

    env_steps_per_s: float
    seconds: float
    stages_ms: dict[str, float]
    """CPU time of each stage, in place."""
    outside_ms: float
    """CPU time of everything else, training."""
    idle_ms: float
    """CPU time that the same processes burn in as long, with nothing to do."""
    outside_by_process_ms: dict[str, tuple[float, float]]
    """(training, idle) for each."""
    threads_ms: dict[str, tuple[float, float]]
    """(training, idle) for each thread of each, stages included: where to look further."""

    @property
    def overhead_ms(self) -> float:
        """What running the stages costs beyond them."""
        return self.outside_ms - self.idle_ms


def used(before: Look, after: Look) -> Used:
    """What was used in between. A process that began then counts from its beginning; one that ended does not."""
    seconds = after.at_s - before.at_s
    stages: Counter[str] = Counter()
    outside: Counter[str] = Counter()
    threads: Counter[str] = Counter()
    for pid, process in after.processes.items():
        earlier = before.processes.get(pid, Process(process.name, 0.0, {}))
        inside = _less(after.stages[pid], before.stages.get(pid, {}), seconds)
        stages.update(inside)
        outside[process.name] += (process.cpu_s - earlier.cpu_s) / seconds - sum(inside.values())
        threads.update(_less(_by_name(process), _by_name(earlier), seconds))
    return Used(dict(stages), dict(outside), dict(threads))


def _by_name(process: Process) -> Counter[str]:
    found: Counter[str] = Counter()
    for thread in process.threads.values():
        found[f"{process.name}/{thread.name}"] += thread.cpu_s
    return found


def _less(later: Mapping[str, float], earlier: Mapping[str, float], seconds: float) -> dict[str, float]:
    """Growth per second of each entry."""
    return {name: (cpu_s - earlier.get(name, 0.0)) / seconds for name, cpu_s in later.items()}


def per_env_steps(env_steps_per_s: float, seconds: float, training: Used, idle: Used) -> Pipeline:
    """What a second of training and of idleness used, per `ENV_STEPS` env steps of training."""
    ms = 1e3 * ENV_STEPS / env_steps_per_s
    return Pipeline(
        env_steps_per_s=env_steps_per_s,
        seconds=seconds,
        stages_ms={name: ms * cpu for name, cpu in training.stages.items()},
        outside_ms=ms * sum(training.outside.values()),
        idle_ms=ms * sum(idle.outside.values()),
        outside_by_process_ms=_both(training.outside, idle.outside, ms),
        threads_ms=_both(training.threads, idle.threads, ms),
    )


def _both(training: Mapping[str, float], idle: Mapping[str, float], ms: float) -> dict[str, tuple[float, float]]:
    """(training, idle) in milliseconds, the costliest first."""
    both = {n: (ms * training.get(n, 0.0), ms * idle.get(n, 0.0)) for n in training.keys() | idle.keys()}
    return dict(sorted(both.items(), key=lambda entry: -entry[1][0]))
