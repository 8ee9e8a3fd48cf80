"""What the terminal shows for a literal row."""

import io
import math
import os
import pty

import pytest
from rich.console import Console

from rl_platform.observability.progress import Progress
from rl_platform.observability.progress_view import Budget, eta_s, number, progress_line

SHOW_CURSOR = b"\x1b[?25h"
ROW = {
    "env_steps": 250_000,
    "env_frames": 1_000_000,
    "learner_updates": 390,
    "wall_s": 125.0,
    "env_steps_per_s": 1990.0,
    "env_steps_per_s_recent": 2000.0,
    "episodes": 12,
    "episode_return_mean": -19.25,
    "episode_return_min": -21.0,
    "episode_return_max": -16.0,
    "unrolls_lost": 0,
    "columns_dropped": 0,
    "actors_restarted": 1,
    "updates_skipped": 0,
    "env_faults": 0,
    "queue_fill": 0.5,
    "loss/policy": 12.5,
    "loss/value": math.nan,
    "policy_lag_mean": 1.25,
}


def test_the_line_for_a_row():
    assert progress_line(ROW, Budget(1_000_000)) == (
        "env_steps 250,000/1,000,000 (25%) | frames 1,000,000 | 2,000 steps/s | return -19.25 (12 episodes) | lag 1.25"
        " | loss policy 12.5 value – | queue 50% | ETA 0:06:15 | actors_restarted 1"
    )


@pytest.mark.parametrize(
    ("budget", "rate", "expected"),
    [
        (Budget(1_000_000), 2000.0, 375.0),
        (Budget(1_000_000, seconds=200.0), 2000.0, 75.0),
        (Budget(1_000_000, seconds=9000.0), 2000.0, 375.0),
        (Budget(1_000_000, seconds=200.0), math.nan, 75.0),
        (Budget(100_000), 2000.0, 0.0),
    ],
)
def test_eta(budget, rate, expected):
    assert eta_s({**ROW, "env_steps_per_s_recent": rate}, budget) == expected


@pytest.mark.parametrize("rate", [0.0, math.nan])
def test_eta_is_unknown_without_a_rate(rate):
    assert math.isnan(eta_s({**ROW, "env_steps_per_s_recent": rate}, Budget(1_000_000)))


@pytest.mark.parametrize(
    ("value", "text"),
    [(-20.6789, "-20.68"), (18450.0, "18,450"), (-1234.5, "-1,234"), (0.00061, "0.00061"), (math.inf, "–")],
)
def test_numbers(value, text):
    assert number(value) == text


def test_plain_lines_come_at_their_interval_and_the_last_row_at_the_end():
    now_s = 0.0
    output = io.StringIO()
    with Progress(Budget(1_000_000), plain_every_s=10.0, console=Console(file=output), clock=lambda: now_s) as progress:
        for second in range(0, 26, 5):
            now_s = float(second)
            progress.update({**ROW, "env_steps": second})
    shown = [int(line.split("/")[0].removeprefix("env_steps ")) for line in output.getvalue().splitlines()]
    assert shown == [0, 10, 20, 25]


def test_off_shows_nothing():
    output = io.StringIO()
    with Progress(Budget(1_000_000), mode="off", console=Console(file=output)) as progress:
        progress.update(ROW)
    assert output.getvalue() == ""


def test_a_terminal_gets_the_live_table(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    parent, child = pty.openpty()
    with open(child, "w", encoding="utf-8") as terminal, open(parent, "rb", buffering=0) as screen:
        console = Console(file=terminal, width=100, color_system=None)
        with Progress(Budget(1_000_000), title="cartpole", console=console) as progress:
            progress.update(ROW)
        shown = b""
        while not shown.endswith(SHOW_CURSOR):
            shown += os.read(screen.fileno(), 65536)
    for text in ("cartpole", "25%", "ETA 0:06:15", "-21 … -16", "loss/policy", "actors_restarted 1"):
        assert text in shown.decode()


def test_a_pipe_gets_plain_lines_even_when_colour_is_forced(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    output = io.StringIO()
    with Progress(Budget(1_000_000), console=Console(file=output)) as progress:
        progress.update(ROW)
    assert output.getvalue() == progress_line(ROW, Budget(1_000_000)) + "\n"
