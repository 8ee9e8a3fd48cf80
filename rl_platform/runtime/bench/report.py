"""What bench found, as tables for people and as JSON."""

import math
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from rl_platform.runtime.bench.accounting import ENV_STEPS, Pipeline
from rl_platform.runtime.bench.overlap import Overlap
from rl_platform.runtime.bench.stages import Stage, StageCost, roofline
from rl_platform.runtime.bench.wire import Wire


class Report(NamedTuple):
    """Parts that were left out are None."""

    config: str
    backend: dict[str, str]
    cores: int
    stages: dict[Stage, StageCost] | None = None
    pipeline: Pipeline | None = None
    wire: Wire | None = None
    overlap: Overlap | None = None

    @property
    def roofline(self) -> float | None:
        """Env steps per second that nothing here can exceed."""
        return None if self.stages is None else roofline(self.stages, self.cores)

    @property
    def fraction(self) -> float | None:
        """Of the roofline, by the pipeline."""
        if self.pipeline is None or self.roofline is None:
            return None
        return self.pipeline.env_steps_per_s / self.roofline


def to_json(report: Report) -> dict[str, Any]:
    """Plain data; records as objects."""
    derived = {"roofline_env_steps_per_s": report.roofline, "fraction_of_roofline": report.fraction}
    content = _plain(report) | derived
    if report.pipeline is not None:
        content["pipeline"]["overhead_ms"] = report.pipeline.overhead_ms
    return content


def _plain(value: Any) -> Any:
    """Records to objects, all the way down; floats to five significant digits."""
    if hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return float(f"{value:.5g}") if isinstance(value, float) and math.isfinite(value) else value


def show(report: Report, console: Console) -> None:
    """One table for each part."""
    console.print(_table("Measured on", ("", ""), list(report.backend.items())))
    if report.stages is not None:
        console.print(_stages(report.stages))
        console.print(f"Roofline: {report.cores} cores ÷ plain stages = {report.roofline:,.0f} env steps/s\n")
    if report.pipeline is not None:
        console.print(_pipeline(report.pipeline, report.fraction))
        console.print(_outside(report.pipeline))
    if report.wire is not None:
        console.print(_wire(report.wire))
    if report.overlap is not None:
        console.print(_overlap(report.overlap))


def _stages(stages: dict[Stage, StageCost]) -> Table:
    rows = [
        (name, f"{cost.ours_ms:.4f}", f"{cost.plain_ms:.4f}", f"{cost.ratio:.3f}",
         f"{cost.ratio_low:.3f} – {cost.ratio_high:.3f}")
        for name, cost in stages.items()
    ]  # fmt: skip
    columns = ("stage", "ours", "plain", "ours ÷ plain", "middle half")
    return _table("Stages: ms per env step, another core busy with the same", columns, rows)


def _pipeline(pipeline: Pipeline, fraction: float | None) -> Table:
    stages = [(f"CPU in {name}, ms per {ENV_STEPS} env steps", f"{ms:.1f}") for name, ms in pipeline.stages_ms.items()]
    rows = [
        ("env steps per second", f"{pipeline.env_steps_per_s:,.0f}"),
        ("fraction of the roofline", "–" if fraction is None else f"{fraction:.1%}"),
        *stages,
        (f"CPU outside them, ms per {ENV_STEPS} env steps", f"{pipeline.outside_ms:.1f}"),
        ("the same actors idle, as long", f"{pipeline.idle_ms:.1f}"),
        ("difference", f"{pipeline.overhead_ms:.1f}"),
    ]
    return _table(f"Pipeline: a run over Ray, {pipeline.seconds:g} s", ("", ""), rows)


def _outside(pipeline: Pipeline) -> Table:
    rows = [(name, f"{a:.2f}", f"{b:.2f}", f"{a - b:.2f}") for name, (a, b) in pipeline.outside_by_process_ms.items()]
    columns = ("process", "training", "idle", "difference")
    return _table(f"CPU outside the stages, ms per {ENV_STEPS} env steps", columns, rows)


def _wire(wire: Wire) -> Table:
    hops = {"rollout → replay": wire.rollout_to_replay, "replay → learner": wire.replay_to_learner}
    rows = [(name, f"{found:,.0f}", f"{wire.bound:,.0f}") for name, found in hops.items()]
    return _table("Wire: bytes per env step", ("hop", "stored", "bound"), rows)


def _overlap(overlap: Overlap) -> Table:
    rounds = zip(overlap.serial, overlap.overlapped, strict=True)
    rows = [(str(n), f"{a:,.0f}", f"{b:,.0f}", f"{b / a:.2f}") for n, (a, b) in enumerate(rounds, 1)]
    columns = ("round", "serial", "overlapped", "ratio")
    return _table("Inline: env steps per second", columns, [*rows, ("median", "", "", f"{overlap.ratio:.2f}")])


def _table(title: str, columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> Table:
    table = Table(title=title, title_justify="left", show_header=any(columns))
    for index, name in enumerate(columns):
        table.add_column(name, justify="right" if index and any(columns) else "left")
    for row in rows:
        table.add_row(*row)
    return table
