"""Kill -9 a rollout actor at random times of a real run, and see how soon throughput is back.

    python benchmarks/kill_actors.py [--kills 3] [--seconds 300] [CONFIG] [--section.key value …]

Trains over a local Ray in a process of its own, kills, and reads the run's metrics.jsonl. Prints one JSON object:
for each kill, the seconds until env steps were committed again (`first_update_s`) and until the rate over `WINDOW_S`
seconds was back at `SHARE` of the median rate before it (`recovered_s`); and the account of every env step that the
run closes with. Exit status 1 if a recovery took longer than ten seconds, the restarts do not match, or the account
does not close.
"""

import argparse
import json
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import psutil

WINDOW_S = 2.0
SHARE = 0.8
LIMIT_S = 10.0
ROW_EVERY_S = 0.25


class Row(NamedTuple):
    """Committed env steps at a time of this machine's clock."""

    at_s: float
    env_steps: int


def rows_of(run: Path, start_s: float) -> list[Row]:
    """The run's rows; `start_s` is the clock's time when its wall clock started."""
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [Row(start_s + row["wall_s"], int(row["env_steps"])) for row in map(json.loads, lines)]


def rate_at(rows: list[Row], end_s: float) -> float:
    """Env steps per second over the window that ends then."""
    inside = [row for row in rows if end_s - WINDOW_S <= row.at_s <= end_s]
    if len(inside) < 2:
        return 0.0
    return (inside[-1].env_steps - inside[0].env_steps) / WINDOW_S


def recovery(rows: list[Row], kill_s: float) -> dict[str, float | None]:
    """Seconds after a kill until the first new update, and until the rate is back."""
    usual = statistics.median(rate_at(rows, row.at_s) for row in rows if kill_s - 30 < row.at_s < kill_s)
    later = [row for row in rows if row.at_s > kill_s + WINDOW_S]
    back = next((row.at_s for row in later if rate_at(rows, row.at_s) >= SHARE * usual), None)
    stalled = [row for row in rows if row.at_s > kill_s + 1]
    first = next((row.at_s for row in stalled if row.env_steps > stalled[0].env_steps), None)
    return {
        "usual_env_steps_per_s": round(usual),
        "first_update_s": first and round(first - kill_s, 2),
        "recovered_s": back and round(back - kill_s, 2),
    }


def rollout_actor(parent: psutil.Process) -> psutil.Process | None:
    """A rollout actor of this run."""
    return next(
        (p for p in parent.children(recursive=True) if "RolloutActor" in p.name() + " ".join(p.cmdline())), None
    )


def train(config: str, overrides: list[str], run: Path, seconds: float) -> subprocess.Popen:
    """Start the run."""
    command = [sys.executable, "-m", "rl_platform.cli", "train", config, "--run.dir", str(run)]
    fixed = [f"--logging.every_s={ROW_EVERY_S}", f"--run.max_seconds={seconds}", "--logging.progress=off"]
    return subprocess.Popen([*command, *fixed, *overrides], stdout=subprocess.DEVNULL)


def first_row_clock(run: Path, process: subprocess.Popen) -> float:
    """Wait for the first row; returns the clock's time at which the run's wall clock started."""
    path = run / "metrics.jsonl"
    while not path.exists() or "\n" not in path.read_text():
        assert process.poll() is None, "the run ended before it trained"
        time.sleep(0.05)
    return path.stat().st_mtime - json.loads(path.read_text().splitlines()[0])["wall_s"]


def kill_times(kills: int, seconds: float, chance: random.Random) -> list[float]:
    """Seconds into the training, one somewhere in each of `kills` equal parts, with room for 30 s before and after."""
    part = (seconds - 60) / kills
    return [30 + part * index + chance.uniform(0, max(part - 20, 0)) for index in range(kills)]


def account(run: Path) -> dict[str, int]:
    """The run's closing account of env steps."""
    words = " ".join((run / "log.txt").read_text().split())
    match = re.search(
        r"env steps: (\d+) collected, (\d+) committed, (\d+) in the shard and not committed, (\d+) lost", words
    )
    return dict(zip(("collected", "committed", "in_shard", "lost_on_the_way"), map(int, match.groups()), strict=True))


def main() -> int:
    """Run, kill, report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", nargs="?", default="atari/pong_impala")
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--seed", type=int, default=0, help="of the times of the kills")
    options, overrides = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        process = train(options.config, overrides, run, options.seconds)
        start_s = first_row_clock(run, process)
        began_s, killed = time.time(), []
        for wait_s in kill_times(options.kills, options.seconds, random.Random(options.seed)):
            time.sleep(max(0.0, began_s + wait_s - time.time()))
            os.kill(rollout_actor(psutil.Process(process.pid)).pid, signal.SIGKILL)
            killed.append(time.time())
        status = process.wait()
        report = summarise(run, start_s, killed) | {"exit_status": status}
    print(json.dumps(report, indent=1))
    return 0 if report["ok"] and status == 0 else 1


def summarise(run: Path, start_s: float, killed: list[float]) -> dict[str, Any]:
    """What the run's own records say of it."""
    rows, summary, steps = rows_of(run, start_s), json.loads((run / "summary.json").read_text()), account(run)
    recoveries = [recovery(rows, kill_s) for kill_s in killed]
    quick = all(r["recovered_s"] is not None and r["recovered_s"] <= LIMIT_S for r in recoveries)
    closed = steps["collected"] == steps["committed"] + steps["in_shard"] and steps["committed"] == summary["env_steps"]
    return {
        "kills": recoveries,
        "account": steps,
        "actors_restarted": summary["actors_restarted"],
        "unrolls_lost": summary["unrolls_lost"],
        "env_steps_per_s": round(summary["env_steps_per_s"]),
        "ok": quick and closed and summary["actors_restarted"] == len(killed),
    }


if __name__ == "__main__":
    sys.exit(main())
