"""Every way to end a run: signals, `rl-platform stop`, a reader that goes away; and what is given back afterwards."""

import json
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from rl_platform.runtime.stop import StopRequest
from tests.runtime.launched import INLINE, RAY, assert_gone, command, descendants, last_state, run, start

STOP = [sys.executable, "-m", "rl_platform.cli", "stop"]


@pytest.mark.parametrize(
    ("wiring", "number"), [(INLINE, signal.SIGINT), pytest.param(RAY, signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_a_signal_ends_the_run_after_a_checkpoint_and_leaves_no_process(tmp_path, wiring, number):
    process = start(tmp_path, *wiring)
    family = descendants(process.pid)
    process.send_signal(number)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 128 + number, output
    assert json.loads((tmp_path / "summary.json").read_text())["status"] == "stopped"
    assert last_state(tmp_path)["env_steps"] > 0
    assert_gone(family)


@pytest.mark.slow
def test_stop_ends_a_run_from_elsewhere(tmp_path):
    process = start(tmp_path, *INLINE)
    stop = [*STOP, str(tmp_path)]
    answer = subprocess.run(stop, capture_output=True, text=True, timeout=30, check=True).stdout
    process.communicate(timeout=30)
    assert process.returncode == 0
    steps = json.loads((tmp_path / "summary.json").read_text())["env_steps"]
    assert answer == f"stopped at {steps:,} env steps\n"
    again = subprocess.run(stop, capture_output=True, text=True, timeout=30)
    assert (again.returncode, again.stderr.count("\n")) == (2, 1)
    assert "nothing is running there" in again.stderr


def stop_asked(directory: Path) -> subprocess.Popen:
    """`rl-platform stop` in a process of its own; returns when it has asked."""
    process = subprocess.Popen([*STOP, str(directory)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    wait_for(directory / "stop", process)
    return process


def wait_for(path: Path, process: subprocess.Popen) -> None:
    while not path.exists():
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.01)


def test_stop_says_so_when_the_run_dies_without_a_checkpoint(tmp_path):
    process = start(tmp_path, *INLINE)
    process.send_signal(signal.SIGSTOP)
    asking = stop_asked(tmp_path)
    process.kill()
    process.communicate()
    answer, _ = asking.communicate(timeout=30)
    assert (asking.returncode, answer.count("\n")) == (1, 1)
    assert "ended without a checkpoint" in answer


def test_stop_of_a_run_that_failed_is_not_a_success(tmp_path):
    with StopRequest(tmp_path):
        asking = stop_asked(tmp_path)
        (tmp_path / "summary.json").write_text(json.dumps({"status": "failed", "env_steps": 1234}))
    assert asking.communicate(timeout=30)[0] == "failed at 1,234 env steps\n"
    assert asking.returncode == 1


def test_stop_is_heard_by_a_run_that_is_just_starting(tmp_path):
    """A run that starts removes the request that a dead one left, and must not lose a new one by that."""
    with StopRequest(tmp_path) as run_that_starts:
        asking = stop_asked(tmp_path)
        (tmp_path / "stop").unlink()
        wait_for(tmp_path / "stop", asking)
        while not run_that_starts.made():
            assert asking.poll() is None
    asking.communicate(timeout=30)
    assert not (tmp_path / "stop").exists()


def test_the_second_signal_waits_for_nobody(tmp_path):
    script = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        from rl_platform.runtime.stop import StopRequest
        with StopRequest(Path(sys.argv[1])) as stop:
            print("begun", flush=True)
            while not stop.made():
                pass
            print("asked", flush=True)
            while True:
                pass
        """
    )
    process = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "begun\n"
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline() == "asked\n"
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=30)[0] == ""
    assert process.returncode == -signal.SIGINT


def test_ctrl_c_while_libraries_load_is_one_line_and_130(tmp_path):
    process = subprocess.Popen(command(tmp_path / "run", *INLINE), stderr=subprocess.PIPE, text=True)
    while "libtorch_cpu" not in Path(f"/proc/{process.pid}/maps").read_text():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (130, "rl-platform: interrupted\n")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_reader_that_goes_away_does_not_end_the_run(tmp_path):
    """As in `rl-platform train … | head -1`."""
    train = command(
        tmp_path, *INLINE, "--run.total_env_steps=20000", "--logging.progress=auto", "--logging.every_s=0.1"
    )
    process = subprocess.Popen(train, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(timeout=60) == 0
    assert last_state(tmp_path)["env_steps"] >= 20_000


def test_signals_are_given_back(tmp_path):
    heard = []
    before = {number: signal.signal(number, lambda *_: heard.append(1)) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        run(tmp_path, *INLINE, "--run.total_env_steps=800")
        for number in before:
            signal.raise_signal(number)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert heard == [1, 1]


def test_training_works_in_a_thread_of_a_users_program(tmp_path):
    ended = []
    thread = threading.Thread(target=lambda: ended.append(run(tmp_path, *INLINE, "--run.total_env_steps=800")))
    thread.start()
    thread.join()
    assert ended[0][1] == 0
