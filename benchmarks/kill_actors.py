"""Kill actors of a real run at random times, and see how soon it is back and what was lost.

    python benchmarks/kill_actors.py [CONFIG] [--role ROLE]… [--kills 3] [--seconds S] [--section.key=value …]

For each role one training run over a local Ray in a process of its own, in which actors of that role end with kill -9:

rollout, replay, learner, feeder   one of them (the feeder in an actor of its own)
rank                               one learner of two
generation                         both learners of two at once
hang                               one learner of two is stopped (SIGSTOP): the other waits for it in a collective

Prints one JSON object. For each kill, from the run's metrics.jsonl: how long no env steps were committed (`stalled_s`),
seconds from the kill until they were again (`resumed_s`) and until the rate over `WINDOW_S` seconds was back at `SHARE`
of the median before the first kill (`recovered_s`), and what was lost by then. For each run: its closing account of
env steps. Exit status 1 if a recovery took longer than the role's limit or an account does not close.
"""

import argparse
import itertools
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
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import yaml

WINDOW_S = 2.0
SHARE = 0.8
ROW_EVERY_S = 0.25
QUIET_S = 30.0
"""Training before the first kill and after the last recovery."""
TWO_RANKS = ("--cluster.num_learners=2", "--cluster.feeder=actor")


class Role(NamedTuple):
    """Whom to kill and how."""

    title: str
    """Of the actor's process."""
    limit_s: float
    overrides: tuple[str, ...] = ()
    present: int = 1
    """So many of them there must be before the kill."""
    victims: int = 1
    sent: signal.Signals = signal.SIGKILL
    hears: bool = False
    """Whether it hears from the rollout actors how much they collected, so that some of that dies with it."""


ROLES = {
    "rollout": Role("RolloutActor", 10.0),
    "replay": Role("ReplayActor", 10.0),
    "learner": Role("LearnerActor", 60.0),
    "feeder": Role("FeederActor", 10.0, ("--cluster.feeder=actor",), hears=True),
    "rank": Role("LearnerActor", 60.0, TWO_RANKS, present=2),
    "generation": Role("LearnerActor", 60.0, TWO_RANKS, present=2, victims=2),
    "hang": Role("LearnerActor", 60.0, TWO_RANKS, present=2, sent=signal.SIGSTOP),
}


class Row(NamedTuple):
    """A line of metrics.jsonl, at a time of this machine's clock."""

    at_s: float
    env_steps: int
    """Committed; fewer than before when the learners went back to a snapshot."""
    env_steps_lost: int
    unrolls_lost: int


def rows_of(run: Path, start_s: float) -> list[Row]:
    """The run's rows; `start_s` is the clock's time when its wall clock started."""
    rows = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [Row(start_s + row["wall_s"], *(int(row[name]) for name in Row._fields[1:])) for row in rows]


def rate_at(rows: Sequence[Row], end_s: float) -> float:
    """Env steps committed per second over the window that ends then; a step back commits nothing."""
    inside = [row for row in rows if end_s - WINDOW_S <= row.at_s <= end_s]
    return sum(max(0, after.env_steps - before.env_steps) for before, after in itertools.pairwise(inside)) / WINDOW_S


def commit_times(rows: Sequence[Row]) -> list[float]:
    """When env steps were committed."""
    return [after.at_s for before, after in itertools.pairwise(rows) if after.env_steps > before.env_steps]


class Usual(NamedTuple):
    """How the run goes when nobody is killed: medians up to the first kill."""

    rate: float
    gap_s: float
    """Between commits."""

    @classmethod
    def before(cls, rows: Sequence[Row], first_kill_s: float) -> "Usual":
        """The first ten seconds, in which it starts, are left out."""
        calm = [row for row in rows if rows[0].at_s + 10 < row.at_s < first_kill_s]
        gaps = [after - before for before, after in itertools.pairwise(commit_times(calm))]
        return cls(statistics.median(rate_at(rows, row.at_s) for row in calm), statistics.median(gaps))


def longest_stall(commits: Sequence[float], kill_s: float, limit_s: float, usual: Usual) -> tuple[float, float]:
    """Begin and end of the longest time without a commit that began within `limit_s` of the kill or contains it.

    Without one longer than three usual gaps: the kill and the first commit after it.
    """
    gaps = [(begin, end) for begin, end in itertools.pairwise(commits) if end > kill_s and begin < kill_s + limit_s]
    begin, end = max(gaps, key=lambda gap: gap[1] - gap[0], default=(kill_s, float("inf")))
    first = next((at for at in commits if at > kill_s), float("inf"))
    return (begin, end) if end - begin > 3 * usual.gap_s else (kill_s, first)


def recovery(rows: Sequence[Row], kill_s: float, next_s: float, limit_s: float, usual: Usual) -> dict[str, Any]:
    """What came of one kill, up to the next; None for what never came."""
    mine = [row for row in rows if kill_s - WINDOW_S < row.at_s < next_s]
    begin, resumed = longest_stall(commit_times(mine), kill_s, limit_s, usual)
    settled = max(kill_s + WINDOW_S, resumed)
    back = next(
        (row.at_s for row in mine if row.at_s >= settled and rate_at(rows, row.at_s) >= SHARE * usual.rate), None
    )
    before, last = max(row for row in rows if row.at_s < kill_s), mine[-1]
    return {
        "stalled_s": round(resumed - begin, 2) if resumed < next_s else None,
        "resumed_s": round(resumed - kill_s, 2) if resumed < next_s else None,
        "recovered_s": back and round(back - kill_s, 2),
        "env_steps_lost": last.env_steps_lost - before.env_steps_lost,
        "unrolls_lost": last.unrolls_lost - before.unrolls_lost,
    }


def actors(run: psutil.Process, title: str) -> list[psutil.Process]:
    """The processes of this run's actors of that class."""
    return [child for child in run.children(recursive=True) if title_of(child).startswith(f"ray::{title}")]


def title_of(process: psutil.Process) -> str:
    """Empty if it has ended."""
    try:
        return "".join(process.cmdline()[:1])
    except psutil.Error:
        return ""


def strike(run: psutil.Process, role: Role, chance: random.Random) -> list[psutil.Process]:
    """Wait until the role is fully staffed, and kill as many as it says; returns the victims."""
    while len(present := actors(run, role.title)) < role.present:
        assert run.is_running() and run.status() != psutil.STATUS_ZOMBIE, "the run ended before all kills"
        time.sleep(0.05)
    victims = chance.sample(present, role.victims)
    for victim in victims:
        victim.send_signal(role.sent)
    return victims


def train(config: str, overrides: Sequence[str], run: Path, seconds: float) -> subprocess.Popen:
    """Start the run, without evaluations, whose games would take the time of others."""
    command = [sys.executable, "-m", "rl_platform.cli", "train", config, "--run.dir", str(run)]
    fixed = [f"--logging.every_s={ROW_EVERY_S}", f"--run.max_seconds={seconds}", "--logging.progress=off",
             "--run.eval=null", "--logging.tensorboard=false"]  # fmt: skip
    return subprocess.Popen([*command, *fixed, *overrides], stdout=subprocess.DEVNULL)


def first_row_clock(run: Path, process: subprocess.Popen) -> float:
    """Wait for the first row; returns the clock's time at which the run's wall clock started."""
    path = run / "metrics.jsonl"
    while not path.exists() or "\n" not in path.read_text():
        assert process.poll() is None, "the run ended before it trained"
        time.sleep(0.05)
    return path.stat().st_mtime - json.loads(path.read_text().splitlines()[0])["wall_s"]


def kill_times(kills: int, seconds: float, limit_s: float, chance: random.Random) -> list[float]:
    """Seconds into the training, one somewhere in each of `kills` equal parts, with time to recover after each."""
    part = (seconds - 2 * QUIET_S) / kills
    return [QUIET_S + part * index + chance.uniform(0, max(part - limit_s - 10, 0)) for index in range(kills)]


def account(run: Path) -> dict[str, int]:
    """The run's closing account of env steps."""
    line = (run / "log.txt").read_text().rpartition("env steps: ")[2]
    words = {"arrived": "arrived", "committed": "committed", "in_shards": "in the shards", "lost": "lost",
             "collected": "collected", "on_the_way": "lost on the way"}  # fmt: skip
    return {name: int(re.search(rf"(\d+) {text}", line)[1]) for name, text in words.items()}


def open_points(steps: dict[str, int], summary: dict[str, Any], unroll_steps: int, role: Role) -> list[str]:
    """In what the account does not close."""
    lost_at_most = summary["unrolls_lost"] * unroll_steps
    conditions = {
        "arrived = committed + in shards + lost": steps["arrived"]
        == steps["committed"] + steps["in_shards"] + steps["lost"],
        "committed = the summary's env_steps": steps["committed"] == summary["env_steps"],
        "lost = the summary's env_steps_lost ≥ 0": steps["lost"] == summary["env_steps_lost"] >= 0,
        "collected = arrived + lost on the way": role.hears
        or steps["collected"] == steps["arrived"] + steps["on_the_way"],
        "lost on the way fits the unrolls lost": steps["on_the_way"] <= lost_at_most,
    }
    return [name for name, holds in conditions.items() if not holds]


def summarise(run: Path, start_s: float, killed: Sequence[float], role: Role) -> dict[str, Any]:
    """What the run's own records say of it."""
    rows, summary = rows_of(run, start_s), json.loads((run / "summary.json").read_text())
    usual, steps = Usual.before(rows, killed[0]), account(run)
    ends = [*killed[1:], float("inf")]
    kills = [recovery(rows, at, end, role.limit_s, usual) for at, end in zip(killed, ends, strict=True)]
    settings = yaml.safe_load((run / "config.yaml").read_text())["actors"]
    not_closed = open_points(steps, summary, settings["envs_per_actor"] * settings["unroll_length"], role)
    quick = all(kill["recovered_s"] is not None and kill["recovered_s"] <= role.limit_s for kill in kills)
    return {
        "usual_env_steps_per_s": round(usual.rate),
        "kills": kills,
        "limit_s": role.limit_s,
        "account": steps,
        "account_not_closed": not_closed,
        **{name: summary[name] for name in ("actors_restarted", "unrolls_lost", "env_steps_lost", "status")},
        "ok": quick and not not_closed and summary["actors_restarted"] >= len(killed),
    }


def kill_role(role: Role, options: argparse.Namespace, overrides: Sequence[str], run: Path) -> dict[str, Any]:
    """One run, in which every kill is of this role."""
    chance = random.Random(options.seed)
    seconds = options.seconds or 2 * QUIET_S + options.kills * (role.limit_s + 30)
    process = train(options.config, [*role.overrides, *overrides], run, seconds)
    start_s = first_row_clock(run, process)
    began_s, killed, victims = time.time(), [], []
    try:
        for wait_s in kill_times(options.kills, seconds, role.limit_s, chance):
            time.sleep(max(0.0, began_s + wait_s - time.time()))
            victims += strike(psutil.Process(process.pid), role, chance)
            killed.append(time.time())
        status = process.wait()
    finally:
        process.terminate()
        left = [victim for victim in victims if victim.is_running()]  # one that was only stopped must be gone too
        for victim in left:
            os.kill(victim.pid, signal.SIGKILL)
    report = summarise(run, start_s, killed, role) | {"exit_status": status, "victims_left_behind": len(left)}
    return report | {"ok": report["ok"] and status == 0 and not left}


def arguments() -> tuple[argparse.Namespace, list[str]]:
    """The command line; what it does not know changes the config."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("config", nargs="?", default="atari/pong_impala")
    parser.add_argument("--role", action="append", choices=[*ROLES, "all"], help="repeatable; default: rollout")
    parser.add_argument("--kills", type=int, default=3, help="in each run")
    parser.add_argument("--seconds", type=float, help="of training in each run (default: room for every recovery)")
    parser.add_argument("--seed", type=int, default=0, help="of the times of the kills")
    parser.add_argument("--keep", type=Path, help="folder in which the runs are kept, by role")
    return parser.parse_known_args()


def main() -> int:
    """One run a role, then the table."""
    options, overrides = arguments()
    chosen = options.role or ["rollout"]
    table = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in ROLES if "all" in chosen else chosen:
            table[name] = kill_role(ROLES[name], options, overrides, (options.keep or Path(folder)) / name)
    print(json.dumps(table, indent=1))
    return 0 if all(report["ok"] for report in table.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
