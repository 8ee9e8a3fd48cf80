"""How a metrics row looks in a terminal: as a table and as one line."""

import math
from collections.abc import Mapping
from datetime import timedelta
from typing import NamedTuple

from rich.console import Group
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

FAILURES = ("unrolls_lost", "env_steps_lost", "columns_dropped", "actors_restarted", "updates_skipped", "env_faults",
            "evaluations_failed")  # fmt: skip
LOSS = "loss/"


class Budget(NamedTuple):
    """When a run ends: after `env_steps`, or when its rows' `wall_s` reaches `seconds` if that comes first."""

    env_steps: int
    seconds: float | None = None


def eta_s(row: Mapping[str, float], budget: Budget) -> float:
    """Seconds to the end of the budget at the recent rate; NaN while that rate is unknown or zero."""
    rate = row["env_steps_per_s_recent"]
    by_steps = max(budget.env_steps - row["env_steps"], 0) / rate if rate > 0 else math.nan
    if budget.seconds is None:
        return by_steps
    by_time = max(budget.seconds - row["wall_s"], 0.0)
    return by_time if math.isnan(by_steps) else min(by_steps, by_time)


def progress_line(row: Mapping[str, float], budget: Budget) -> str:
    """Everything on one line, for logs."""
    losses = " ".join(f"{name.removeprefix(LOSS)} {number(row[name])}" for name in _loss_names(row))
    parts = [
        f"env_steps {count(row['env_steps'])}/{count(budget.env_steps)} ({_percent(_done(row, budget))})",
        f"frames {count(row['env_frames'])}",
        f"{count(row['env_steps_per_s_recent'])} steps/s",
        f"return {number(row['episode_return_mean'])} ({count(row['episodes'])} episodes)",
        f"lag {number(row.get('policy_lag_mean', math.nan))}",
        f"loss {losses}" if losses else "loss –",
        f"queue {_percent(row.get('queue_fill', math.nan))}",
        f"ETA {duration(eta_s(row, budget))}",
        *(f"{name} {count(row[name])}" for name in FAILURES if row.get(name)),
    ]
    return " | ".join(parts)


def progress_table(row: Mapping[str, float], budget: Budget, title: str) -> Group:
    """A bar with the ETA, and below it the run, the episodes and the losses side by side."""
    done = _done(row, budget)
    head = Table.grid(padding=(0, 2))
    bar = ProgressBar(total=1.0, completed=done, width=40)
    head.add_row(Text(title, style="bold"), bar, _percent(done), f"ETA {duration(eta_s(row, budget))}")
    body = Table.grid(padding=(0, 3))
    losses = {name: number(row[name]) for name in _loss_names(row)}
    body.add_row(_block(_run_numbers(row)), _block(_episode_numbers(row)), _block(losses))
    failures = ", ".join(f"{name} {count(row[name])}" for name in FAILURES if row.get(name))
    return Group(head, body, Text(failures, style="yellow")) if failures else Group(head, body)


def _run_numbers(row: Mapping[str, float]) -> dict[str, str]:
    return {
        "env steps": count(row["env_steps"]),
        "env frames": count(row["env_frames"]),
        "env steps/s": count(row["env_steps_per_s_recent"]),
        "updates": count(row["learner_updates"]),
        "wall time": duration(row["wall_s"]),
    }


def _episode_numbers(row: Mapping[str, float]) -> dict[str, str]:
    low, high = number(row["episode_return_min"]), number(row["episode_return_max"])
    return {
        "mean return": number(row["episode_return_mean"]),
        "from … to": f"{low} … {high}",
        "episodes": count(row["episodes"]),
        "policy lag": number(row.get("policy_lag_mean", math.nan)),
        "queue fill": _percent(row.get("queue_fill", math.nan)),
    }


def _block(values: Mapping[str, str]) -> Table:
    block = Table.grid(padding=(0, 1))
    block.add_column(style="dim")
    block.add_column(justify="right", min_width=10)
    for name, value in values.items():
        block.add_row(name, value)
    return block


def _loss_names(row: Mapping[str, float]) -> list[str]:
    return [name for name in row if name.startswith(LOSS)]


def _done(row: Mapping[str, float], budget: Budget) -> float:
    return min(row["env_steps"] / budget.env_steps, 1.0)


def count(value: float) -> str:
    """A whole number with thousands marks; – for NaN."""
    return f"{value:,.0f}" if math.isfinite(value) else "–"


def number(value: float) -> str:
    """Four significant digits, whole numbers from 1,000 on; – for NaN."""
    if abs(value) >= 1000:
        return count(value)
    return f"{value:.4g}" if math.isfinite(value) else "–"


def duration(seconds: float) -> str:
    """h:mm:ss; – for NaN."""
    return str(timedelta(seconds=round(seconds))) if math.isfinite(seconds) else "–"


def _percent(fraction: float) -> str:
    return f"{fraction:.0%}" if math.isfinite(fraction) else "–"
