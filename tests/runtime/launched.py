"""Real runs on CartPole, in this process or in one of their own, and what can be seen of them from outside."""

import json
import subprocess
import sys
import time
from pathlib import Path

from configs.loader import load_config
from rl_platform.runtime.checkpoint import load_newest
from rl_platform.runtime.train import train

SMALL = [
    "--actors.envs_per_actor=8", "--actors.unroll_length=10", "--learner.batch_columns=8", "--logging.progress=off",
    "--logging.tensorboard=false", "--logging.every_s=0.2",
]  # fmt: skip
INLINE = ["--cluster.mode=inline", "--cluster.pipeline=serial"]
RAY = ["--cluster.mode=ray", "--cluster.object_store_mb=80"]


def run(directory: Path, *overrides: str, resume: bool = False) -> tuple[dict, int]:
    """A run in this process."""
    return train(load_config("classic/cartpole_impala", [*SMALL, *overrides]), directory, resume=resume)


def last_state(directory: Path) -> dict:
    """The newest checkpoint, which must be whole."""
    found = load_newest(directory / "checkpoints", _must_not_be)
    assert found is not None
    return found[1]


def _must_not_be(damage: str) -> None:
    raise AssertionError(damage)


def command(directory: Path, *overrides: str) -> list[str]:
    """What a user types to train there."""
    return [sys.executable, "-m", "rl_platform.cli", "train", "classic/cartpole_impala", *SMALL, *overrides,
            "--run.dir", str(directory)]  # fmt: skip


def start(directory: Path, *overrides: str) -> subprocess.Popen:
    """A run in a process of its own, as a user starts it; returns when it has learned something."""
    endless = [*command(directory, *overrides), "--run.total_env_steps=1000000000", "--run.max_seconds=null"]
    process = subprocess.Popen(endless, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    while last_row(directory).get("env_steps", 0) == 0:
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.05)
    return process


def last_row(directory: Path) -> dict:
    """The last whole row of metrics.jsonl."""
    path = directory / "metrics.jsonl"
    complete = path.read_text().rpartition("\n")[0] if path.exists() else ""
    return json.loads(complete.splitlines()[-1]) if complete else {}


def descendants(pid: int) -> list[int]:
    """Its children and theirs."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended while we looked
        children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found = [pid]
    for parent in found:
        found += children.get(parent, [])
    return found[1:]


def command_line(pid: int) -> str:
    """Empty once the process has gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def assert_gone(pids: list[int]) -> None:
    """Processes that were just told to end are given ten seconds to do so."""
    give_up = time.monotonic() + 10
    while alive := [pid for pid in pids if command_line(pid)]:
        assert time.monotonic() < give_up, [command_line(pid) for pid in alive]
