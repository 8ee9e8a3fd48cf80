"""Each stage of ours beside its plain reference: short slices in alternation, the other core busy all the while."""

import os
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Literal, NamedTuple

import numpy as np
import torch

from configs.schema import Config
from rl_platform.core.allocator import keep_freed_memory
from rl_platform.core.spec import EnvSpec
from rl_platform.runtime import build_envs
from rl_platform.runtime.bench import ours, plain
from rl_platform.runtime.bench.apart import meanwhile, run_apart
from rl_platform.runtime.errors import InputError

Stage = Literal["env", "inference", "update"]
STAGES: tuple[Stage, ...] = ("env", "inference", "update")
Clock = Callable[[], float]

_WARM_UP_CALLS = 3


class Pair(NamedTuple):
    """Ours and the plain reference of one stage."""

    ours: Callable[[], object]
    plain: Callable[[], object]
    env_steps: int
    """Env steps that one call of either serves."""


class StageCost(NamedTuple):
    """What a stage costs per env step, as medians over slices."""

    ours_ms: float
    plain_ms: float
    ratio: float
    """Median of ours ÷ plain over neighbouring slices."""
    ratio_low: float
    """First quartile of the same."""
    ratio_high: float
    """Third quartile."""


def check_cores() -> None:
    """InputError if this process may use one core only."""
    if len(os.sched_getaffinity(0)) < 2:
        raise InputError("bench keeps a second core busy beside each stage, and there is one only: measure the rest "
                         "with --only pipeline,wire,overlap")  # fmt: skip


def measure_stages(config: Config, *, seconds: float) -> dict[Stage, StageCost]:
    """Every stage for `seconds`, one after another, each in a fresh process on a core of its own.

    Another core runs the plain reference of the same stage all the while: cores share power, caches and memory, so
    that a stage alone on a machine looks cheaper than it is in training.
    """
    return {stage: _measure_beside_another(config, stage, seconds) for stage in STAGES}


def _measure_beside_another(config: Config, stage: Stage, seconds: float) -> StageCost:
    core, other_core, *_ = sorted(os.sched_getaffinity(0))
    with meanwhile(_companion, config, stage, core=other_core):
        return run_apart(partial(measure_stage, config, stage, seconds=seconds), core=core)


def _companion(config: Config, stage: Stage) -> Callable[[], object]:
    torch.set_num_threads(1)
    return _plain(config, build_envs.env_spec(config), stage)


def measure_stage(config: Config, stage: Stage, *, seconds: float, clock: Clock = time.perf_counter) -> StageCost:
    """One stage in this process, on one thread."""
    torch.set_num_threads(1)
    if stage == "update":
        keep_freed_memory()  # as the learner's process does
    spec = build_envs.env_spec(config)
    work = ours.workload(config, spec)
    pair = Pair(_ours(config, spec, stage), _plain(config, spec, stage), _env_steps(work, stage))
    return alternate(pair, seconds=seconds, clock=clock)


def _ours(config: Config, spec: EnvSpec, stage: Stage) -> Callable[[], object]:
    if stage == "env":
        env, actions = ours.env(config), _actions(ours.workload(config, spec))
        return lambda: env.step(next(actions))
    return {"inference": ours.inference, "update": ours.update}[stage](config, spec)


def _plain(config: Config, spec: EnvSpec, stage: Stage) -> Callable[[], object]:
    """For `env` the same games as ours: equal seeds and equal actions."""
    work = ours.workload(config, spec)
    if stage == "env":
        step, actions = plain.env_step(work, ours.env_seeds(config)), _actions(work)
        return lambda: step(next(actions))
    return {"inference": plain.inference, "update": plain.update}[stage](work)


def _env_steps(work: plain.Workload, stage: Stage) -> int:
    return work.unroll_length * work.columns if stage == "update" else work.envs


def _actions(work: plain.Workload) -> Iterator[np.ndarray]:
    random = np.random.default_rng(0)
    while True:
        yield random.integers(work.num_actions, size=work.envs)


def alternate(pair: Pair, *, seconds: float, clock: Clock = time.perf_counter, slice_s: float = 0.2) -> StageCost:
    """Slices of about `slice_s` of ours and plain in turn, for `seconds` in all (at least three of each)."""
    calls = max(1, round(slice_s / _seconds_per_call(pair.plain)))
    for _ in range(_WARM_UP_CALLS):
        pair.ours()
    end, slices = time.monotonic() + seconds, []
    while time.monotonic() < end or len(slices) < 3:
        order = (pair.ours, pair.plain) if len(slices) % 2 else (pair.plain, pair.ours)
        times = {step: _median_s(step, calls, clock) for step in order}
        slices.append((times[pair.ours], times[pair.plain]))
    return _cost(slices, pair.env_steps)


def _cost(slices: list[tuple[float, float]], env_steps: int) -> StageCost:
    """From (ours, plain) seconds a call, one pair for each turn."""
    mine, theirs = zip(*slices, strict=True)
    low, middle, high = statistics.quantiles([a / b for a, b in slices], n=4, method="inclusive")
    per_step = 1e3 / env_steps
    return StageCost(statistics.median(mine) * per_step, statistics.median(theirs) * per_step, middle, low, high)


def _median_s(step: Callable[[], object], calls: int, clock: Clock) -> float:
    durations = []
    for _ in range(calls):
        began = clock()
        step()
        durations.append(clock() - began)
    return statistics.median(durations)


def _seconds_per_call(step: Callable[[], object]) -> float:
    for _ in range(_WARM_UP_CALLS):
        step()
    return _median_s(step, _WARM_UP_CALLS, time.perf_counter)


def roofline(costs: dict[Stage, StageCost], cores: int) -> float:
    """Env steps per second of `cores` that do nothing but the three plain stages, without ever waiting."""
    return 1e3 * cores / sum(cost.plain_ms for cost in costs.values())
