"""Inline `overlapped` beside inline `serial`: whole runs in alternation."""

import math
import statistics
import tempfile
from pathlib import Path
from typing import Literal, NamedTuple

from configs.schema import Config
from rl_platform.runtime.bench.apart import run_apart
from rl_platform.runtime.errors import InputError
from rl_platform.runtime.train import train

Kind = Literal["serial", "overlapped"]

_ENVS = 32


class Overlap(NamedTuple):
    """Env steps per second in steady state, one thread a stage."""

    serial: list[float]
    """One figure a round."""
    overlapped: list[float]
    ratio: float
    """Median of overlapped ÷ serial over the rounds."""


def measure_overlap(config: Config, *, seconds: float, rounds: int) -> Overlap:
    """Train inline for `seconds` in each wiring, `rounds` times, with one actor of 32 environments."""
    rates: dict[Kind, list[float]] = {"serial": [], "overlapped": []}
    for _ in range(rounds):
        for kind, found in rates.items():
            found.append(run_apart(_train, _inline(config, kind, seconds)))
    ratios = [b / a for a, b in zip(rates["serial"], rates["overlapped"], strict=True)]
    return Overlap(**rates, ratio=statistics.median(ratios))


def _inline(config: Config, kind: Kind, seconds: float) -> Config:
    run = {"total_env_steps": 10**13, "max_seconds": seconds}
    changed = {
        "run": config.run.model_copy(update=run),
        "actors": config.actors.model_copy(update={"count": 1, "envs_per_actor": _ENVS}),
        "cluster": config.cluster.model_copy(update={"mode": "inline", "pipeline": kind}),
        "logging": config.logging.model_copy(update={"progress": "off"}),
    }
    return config.model_copy(update=changed)


def _train(config: Config) -> float:
    """Env steps per second."""
    with tempfile.TemporaryDirectory() as folder:
        summary, status = train(config, Path(folder) / "run")
    if status or summary["status"] != "done":
        raise RuntimeError(f"the {config.cluster.pipeline} run ended as {summary['status']}: its log is above")
    if math.isnan(rate := float(summary["env_steps_per_s"])):
        raise InputError("a run ended before its rate was steady: measure for longer with --run-seconds")
    return rate
