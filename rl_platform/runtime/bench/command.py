"""`rl-platform bench`: measure the parts that were asked for, one after another, and show them."""

import json
import os
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from rich.console import Console

from configs.schema import Config
from rl_platform.runtime.bench.apart import ended_by_sigterm
from rl_platform.runtime.bench.backend import backend
from rl_platform.runtime.bench.ours import check_comparable
from rl_platform.runtime.bench.overlap import measure_overlap
from rl_platform.runtime.bench.pipeline import check_own_ray, measure_pipeline
from rl_platform.runtime.bench.report import Report, show, to_json
from rl_platform.runtime.bench.stages import check_cores, measure_stages
from rl_platform.runtime.bench.wire import measure_wire
from rl_platform.runtime.errors import InputError, blaming

Part = Literal["stages", "pipeline", "wire", "overlap"]
PARTS: tuple[Part, ...] = get_args(Part)


class Durations(NamedTuple):
    """How long each part measures."""

    stage_s: float
    """Each stage."""
    run_s: float
    """The pipeline, training and then idle, and each inline run."""
    rounds: int
    """Inline runs of either kind."""


def parse_parts(text: str) -> tuple[Part, ...]:
    """From "stages,wire"; in the order in which they are measured.

    Raises:
      InputError: there is no such part.
    """
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in PARTS:
            raise InputError(f"--only {text}: there is no part {name!r}; choose from {', '.join(PARTS)}")
    return tuple(part for part in PARTS if part in names)


def bench(name: str, config: Config, parts: tuple[Part, ...], durations: Durations, json_file: Path | None) -> Report:
    """Measure, show tables, and write them to `json_file` as well.

    Raises:
      InputError: the config, the machine or the file do not go with what was asked for; nothing was measured.
      RuntimeError: a measurement failed, and said why on stderr.
    """
    check_comparable(config)
    if "stages" in parts:
        check_cores()
    if "pipeline" in parts:
        check_own_ray(config)
    if json_file is not None:
        with blaming(f"--json {json_file}", OSError):
            json_file.touch()
    with ended_by_sigterm():
        report = _measured(name, _without_evaluation(config), parts, durations)
    show(report, Console())
    if json_file is not None:
        json_file.write_text(json.dumps(to_json(report), indent=1) + "\n")
    return report


def _measured(name: str, config: Config, parts: tuple[Part, ...], durations: Durations) -> Report:
    report = Report(name, backend(), len(os.sched_getaffinity(0)))
    if "stages" in parts:
        report = report._replace(stages=measure_stages(config, seconds=durations.stage_s))
    if "pipeline" in parts:
        report = report._replace(pipeline=measure_pipeline(config, seconds=durations.run_s))
    if "wire" in parts:
        report = report._replace(wire=measure_wire(config))
    if "overlap" in parts:
        report = report._replace(overlap=measure_overlap(config, seconds=durations.run_s, rounds=durations.rounds))
    return report


def _without_evaluation(config: Config) -> Config:
    """Stages, run and roofline are of training alone, on the CPU."""
    run, learner = config.run.model_copy(update={"eval": None}), config.learner.model_copy(update={"device": "cpu"})
    return config.model_copy(update={"run": run, "learner": learner})
