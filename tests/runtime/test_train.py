"""Whole runs on CartPole, in every wiring: same bytes where the wiring promises them, and every way to end."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from configs.loader import load_config
from rl_platform.runtime.checkpoint import checkpoints, load_newest
from rl_platform.runtime.errors import InputError
from rl_platform.runtime.train import train

SMALL = [
    "--actors.envs_per_actor=8", "--actors.unroll_length=10", "--learner.batch_columns=8", "--logging.progress=off",
    "--logging.tensorboard=false", "--logging.every_s=0.2",
]  # fmt: skip
INLINE = ["--cluster.mode=inline", "--cluster.pipeline=serial"]
RAY = ["--cluster.mode=ray", "--cluster.object_store_mb=80"]


def run(directory: Path, *overrides: str, resume: bool = False) -> tuple[dict, int]:
    return train(load_config("classic/cartpole_impala", [*SMALL, *overrides]), directory, resume=resume)


def last_state(directory: Path) -> dict:
    found = load_newest(directory / "checkpoints", pytest.fail)
    assert found is not None
    return found[1]


def assert_same_weights(left: Path, right: Path) -> None:
    a, b = last_state(left)["model"], last_state(right)["model"]
    assert a.keys() == b.keys()
    for name in a:
        assert a[name].tobytes() == b[name].tobytes(), name


def test_two_serial_runs_give_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        summary, status = run(tmp_path / name, *INLINE, "--run.total_env_steps=16000")
        assert (status, summary["status"]) == (0, "done")
        assert summary["learner_updates"] >= 200
    assert_same_weights(tmp_path / "a", tmp_path / "b")


def test_another_seed_gives_other_bytes(tmp_path):
    for seed in (1, 2):
        run(tmp_path / str(seed), *INLINE, "--run.total_env_steps=800", f"--run.seed={seed}")
    a, b = (last_state(tmp_path / str(seed))["model"] for seed in (1, 2))
    assert any(a[name].tobytes() != b[name].tobytes() for name in a)


@pytest.mark.slow
def test_ray_with_one_actor_and_no_lag_gives_the_bytes_of_inline_serial(tmp_path):
    same = ["--run.total_env_steps=4000", "--actors.max_policy_lag=0"]
    run(tmp_path / "inline", *INLINE, *same)
    summary, status = run(tmp_path / "ray", *RAY, *same)
    assert (status, summary["policy_lag_mean"]) == (0, 0.0)
    assert summary["learner_updates"] >= 50
    for counter in ("env_steps", "updates"):
        assert last_state(tmp_path / "inline")[counter] == last_state(tmp_path / "ray")[counter]
    assert_same_weights(tmp_path / "inline", tmp_path / "ray")


@pytest.mark.parametrize("wiring", [INLINE, ["--cluster.mode=inline", "--cluster.pipeline=overlapped"]])
def test_a_run_leaves_its_records(tmp_path, wiring):
    summary, status = run(tmp_path, *wiring, "--run.total_env_steps=8000", "--logging.tensorboard=true")
    assert status == 0
    assert summary["env_steps"] >= 8000
    assert summary["policy_lag_mean"] <= 8
    assert json.loads((tmp_path / "summary.json").read_text()) == summary
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert rows[-1]["env_steps"] == summary["env_steps"]
    assert {"env_frames", "learner_updates", "wall_s", "loss/policy", "loss/value", "loss/entropy"} <= rows[-1].keys()
    assert list((tmp_path / "tensorboard").iterdir())
    assert (tmp_path / "curve.png").stat().st_size > 1000
    assert (tmp_path / "config.yaml").exists()
    assert [path.name for path in checkpoints(tmp_path / "checkpoints")] == [str(summary["env_steps"])]


def test_env_steps_are_the_valid_transitions_that_reached_the_shard(tmp_path):
    summary, _ = run(tmp_path, *INLINE, "--run.total_env_steps=4000")
    transitions = summary["learner_updates"] * 8 * 10
    resets = transitions - summary["env_steps"]
    assert summary["episodes"] - 8 <= resets <= summary["episodes"]


def test_resume_goes_on_where_the_run_ended(tmp_path):
    first, _ = run(tmp_path, *INLINE, "--run.total_env_steps=2000")
    second, status = run(tmp_path, *INLINE, "--run.total_env_steps=4000", resume=True)
    assert status == 0
    assert second["env_steps"] >= 4000 > first["env_steps"]
    assert second["learner_updates"] > first["learner_updates"]
    assert second["wall_s"] > first["wall_s"]
    steps = [json.loads(line)["env_steps"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert steps == sorted(steps)
    assert last_state(tmp_path)["run"]["next_incarnation"] == 2


def test_a_folder_with_a_run_is_not_overwritten(tmp_path):
    run(tmp_path, *INLINE, "--run.total_env_steps=800")
    with pytest.raises(InputError, match=r"already holds a run: continue it with --resume"):
        run(tmp_path, *INLINE)


def start(directory: Path, *overrides: str) -> subprocess.Popen:
    """A run in a process of its own, as a user starts it; returns when it has learned something."""
    command = [sys.executable, "-m", "rl_platform.cli", "train", "classic/cartpole_impala", *SMALL, *overrides,
               "--run.dir", str(directory), "--run.total_env_steps=1000000000"]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    while _last_row(directory).get("env_steps", 0) == 0:
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.05)
    return process


@pytest.mark.parametrize(
    ("wiring", "number"), [(INLINE, signal.SIGINT), pytest.param(RAY, signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_a_signal_ends_the_run_after_a_checkpoint_and_leaves_no_process(tmp_path, wiring, number):
    process = start(tmp_path, *wiring)
    family = _descendants(process.pid)
    process.send_signal(number)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 128 + number, output
    assert json.loads((tmp_path / "summary.json").read_text())["status"] == "stopped"
    assert last_state(tmp_path)["env_steps"] > 0
    _assert_gone(family)


@pytest.mark.slow
def test_stop_ends_a_run_from_elsewhere(tmp_path):
    process = start(tmp_path, *INLINE)
    stop = [sys.executable, "-m", "rl_platform.cli", "stop", str(tmp_path)]
    answer = subprocess.run(stop, capture_output=True, text=True, timeout=30, check=True).stdout
    process.communicate(timeout=30)
    assert process.returncode == 0
    steps = json.loads((tmp_path / "summary.json").read_text())["env_steps"]
    assert answer == f"stopped at {steps:,} env steps\n"
    again = subprocess.run(stop, capture_output=True, text=True, timeout=30)
    assert (again.returncode, again.stderr.count("\n")) == (2, 1)
    assert "nothing is running there" in again.stderr


def test_two_processes_cannot_train_in_one_folder(tmp_path):
    process = start(tmp_path, *INLINE)
    second = subprocess.run([*process.args, "--resume"], capture_output=True, text=True, timeout=60)
    assert second.returncode == 2
    assert "in use by a process that trains there" in second.stderr
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)


@pytest.mark.slow
def test_a_killed_rollout_actor_is_replaced_while_training_goes_on(tmp_path):
    process = start(tmp_path, *RAY, "--actors.count=2")
    before = _last_row(tmp_path)
    victim = next(pid for pid in _descendants(process.pid) if "RolloutActor" in _command(pid))
    os.kill(victim, signal.SIGKILL)
    while _last_row(tmp_path)["actors_restarted"] == 0:
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.05)
    restarted = _last_row(tmp_path)
    while _last_row(tmp_path)["env_steps"] < restarted["env_steps"] + 10_000:
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert (summary["actors_restarted"], summary["status"]) == (1, "stopped")
    assert summary["env_steps"] > before["env_steps"]
    assert "replaced: it died" in (tmp_path / "log.txt").read_text()


def _last_row(directory: Path) -> dict:
    path = directory / "metrics.jsonl"
    complete = path.read_text().rpartition("\n")[0] if path.exists() else ""
    return json.loads(complete.splitlines()[-1]) if complete else {}


def _descendants(pid: int) -> list[int]:
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


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _assert_gone(pids: list[int]) -> None:
    """Processes that were just told to end are given ten seconds to do so."""
    give_up = time.monotonic() + 10
    while alive := [pid for pid in pids if _command(pid)]:
        assert time.monotonic() < give_up, [_command(pid) for pid in alive]


def test_metrics_hold_no_numpy_surprises(tmp_path):
    run(tmp_path, *INLINE, "--run.total_env_steps=2000")
    for line in (tmp_path / "metrics.jsonl").read_text().splitlines():
        assert all(value is None or np.isfinite(value) for value in json.loads(line).values())
