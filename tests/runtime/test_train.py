"""Whole runs on CartPole, in every wiring: same bytes where the wiring promises them, and what they leave behind."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

from rl_platform.runtime.checkpoint import checkpoints
from tests.runtime.launched import INLINE, RAY, command, command_line, descendants, last_row, last_state, run, start


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
    kept = json.loads((tmp_path / "summary.json").read_text())  # which has null for what there was none of
    assert kept == {name: None if value != value else value for name, value in summary.items()}
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


@pytest.mark.slow
def test_a_killed_rollout_actor_is_replaced_while_training_goes_on(tmp_path):
    process = start(tmp_path, *RAY, "--actors.count=2")
    before = last_row(tmp_path)
    victim = next(pid for pid in descendants(process.pid) if "RolloutActor" in command_line(pid))
    os.kill(victim, signal.SIGKILL)
    while last_row(tmp_path)["actors_restarted"] == 0:
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.05)
    restarted = last_row(tmp_path)
    while last_row(tmp_path)["env_steps"] < restarted["env_steps"] + 10_000:
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert (summary["actors_restarted"], summary["status"]) == (1, "stopped")
    assert summary["env_steps"] > before["env_steps"]
    assert "replaced: it died" in (tmp_path / "log.txt").read_text()


def test_metrics_hold_no_numpy_surprises(tmp_path):
    run(tmp_path, *INLINE, "--run.total_env_steps=2000")
    for line in (tmp_path / "metrics.jsonl").read_text().splitlines():
        assert all(value is None or np.isfinite(value) for value in json.loads(line).values())


class Breaks(gymnasium.Env):
    """Pays 1 a step until it is `broken`; then it can neither be stepped nor started."""

    observation_space = Box(0, 1, (3,), np.float32)
    action_space = Discrete(2)
    broken_after = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._use()
        return np.zeros(3, np.float32), {}

    def step(self, action):
        self._use()
        return np.zeros(3, np.float32), 1.0, False, False, {}

    def _use(self) -> None:
        Breaks.broken_after -= 1
        if Breaks.broken_after < 0:
            raise OSError("display lost")


gymnasium.register("Breaks-v0", entry_point=Breaks)


@pytest.mark.parametrize("pipeline", ["serial", "overlapped"])
def test_a_failed_run_keeps_what_was_learned_and_can_be_resumed(tmp_path, pipeline):
    settings = ["--env.id=Breaks-v0", "--cluster.mode=inline", f"--cluster.pipeline={pipeline}"]
    Breaks.broken_after = 1000
    summary, status = run(tmp_path, *settings, "--run.total_env_steps=2000")
    assert (status, summary["status"]) == (1, "failed")
    assert last_state(tmp_path)["env_steps"] == summary["env_steps"] > 0
    Breaks.broken_after = 10_000
    again, status = run(tmp_path, *settings, "--run.total_env_steps=2000", resume=True)
    assert (status, again["status"]) == (0, "done")
    assert again["learner_updates"] > summary["learner_updates"]


def test_a_run_that_failed_before_it_learned_anything_leaves_its_folder_free(tmp_path):
    Breaks.broken_after = 20
    settings = ["--env.id=Breaks-v0", *INLINE, "--run.total_env_steps=160"]
    assert run(tmp_path, *settings)[1] == 1
    assert not (tmp_path / "checkpoints").exists()
    Breaks.broken_after = 10_000
    assert run(tmp_path, *settings)[1] == 0


@pytest.mark.slow
def test_a_last_state_that_cannot_be_saved_is_a_failure(tmp_path):
    """With files of at most 16 kB, rows and summaries can be written and weights cannot."""
    limited = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (16384, 16384)); " \
              "from rl_platform.cli import main; sys.exit(main(sys.argv[1:]))"  # fmt: skip
    arguments = command(tmp_path, *INLINE, "--run.total_env_steps=800")[3:]
    result = subprocess.run([sys.executable, "-c", limited, *arguments], capture_output=True, text=True, timeout=60)
    assert result.returncode == 1, result.stderr
    assert json.loads((tmp_path / "summary.json").read_text())["status"] == "failed"
    assert "the last state of the run is lost" in (tmp_path / "log.txt").read_text()
    assert list((tmp_path / "checkpoints").iterdir()) == []
