"""Runs over Ray whose actors are killed, or stand still: they go on, and every env step is accounted for."""

import json
import os
import re
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from rl_platform.observability.metrics_file import read_rows
from rl_platform.runtime.replay_states import segment_files_below
from tests.runtime.launched import RAY, command, last_row, last_state, start

RANKS = ["--cluster.num_learners=2", "--cluster.feeder=actor", "--cluster.collective_timeout_s=5",
         "--cluster.answer_timeout_s=10"]  # fmt: skip
OFTEN = ["--run.snapshot_every_s=0.5", "--actors.count=2", "--run.eval=null"]

MIXED = ["--replay.sources=[{kind: queue, share: 0.5}, {kind: elite, share: 0.5, capacity: 400, min_fill: 100}]"]


class Account(dict):
    """Where a run says that its env steps went: `arrived`, `committed`, `in` the shards, `lost`."""

    def __init__(self, directory: Path):
        line = re.findall(r"env steps: (.*)", (directory / "log.txt").read_text())[-1]
        numbers = re.findall(r"(\d+) (arrived|committed|in|lost|collected)", line)
        super().__init__((name, int(number)) for number, name in reversed(numbers))  # the first "lost" counts

    def closes(self) -> bool:
        return self["arrived"] == self["committed"] + self["in"] + self["lost"]


def actors(process: subprocess.Popen, kind: str) -> list[psutil.Process]:
    """The processes of a run's actors of this class, in the order in which they began."""
    found = []
    for child in psutil.Process(process.pid).children(recursive=True):
        with suppress(psutil.Error):  # it ended while we looked
            if f"ray::{kind}" in "".join(child.cmdline()):
                found.append(child)
    return sorted(found, key=lambda child: child.create_time())


def goes_on(process: subprocess.Popen, directory: Path, restarts: int) -> None:
    """Wait until so many actors were replaced, and env steps are committed again after that."""
    wait_for(process, lambda: last_row(directory)["actors_restarted"] >= restarts)
    updates = last_row(directory)["learner_updates"]
    wait_for(process, lambda: last_row(directory)["learner_updates"] > updates + 10)


def wait_for(process: subprocess.Popen, reached) -> None:
    while not reached():
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.05)


def ended(process: subprocess.Popen, directory: Path) -> tuple[dict, Account]:
    """End the run as a user does; its summary, and its account."""
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM, output
    return json.loads((directory / "summary.json").read_text()), Account(directory)


@pytest.mark.slow
def test_replay_actor_and_learner_are_replaced_and_no_env_step_is_counted_twice(tmp_path):
    process = start(tmp_path, *RAY, *OFTEN)
    wait_for(process, lambda: last_row(tmp_path)["env_steps"] > 5_000)
    actors(process, "ReplayActor")[0].kill()
    goes_on(process, tmp_path, 1)
    first = actors(process, "LearnerActor")[0]
    first.kill()
    wait_for(process, lambda: any(learner.pid != first.pid for learner in actors(process, "LearnerActor")))
    actors(process, "LearnerActor")[-1].kill()  # while it starts
    goes_on(process, tmp_path, 3)
    summary, account = ended(process, tmp_path)
    assert (summary["actors_restarted"], summary["status"]) == (3, "stopped")
    assert account.closes() and account["lost"] == summary["env_steps_lost"] > 0, account
    assert account["committed"] == summary["env_steps"] == last_state(tmp_path)["env_steps"]
    log = (tmp_path / "log.txt").read_text()
    assert "replay actor 0 replaced: it died" in log and "learner 0: it died" in log


@pytest.mark.slow
def test_a_replay_actor_that_stands_still_is_replaced_and_a_stop_during_a_recovery_is_heeded(tmp_path):
    quick = ["--cluster.collective_timeout_s=4", "--cluster.answer_timeout_s=5"]
    process = start(tmp_path, *RAY, *OFTEN, *quick)
    wait_for(process, lambda: last_row(tmp_path)["env_steps"] > 5_000)
    os.kill(actors(process, "ReplayActor")[0].pid, signal.SIGSTOP)
    goes_on(process, tmp_path, 1)
    assert "replay actor 0 replaced: no answer for 5 s" in (tmp_path / "log.txt").read_text()
    actors(process, "LearnerActor")[0].kill()
    wait_for(process, lambda: "begin anew" in (tmp_path / "log.txt").read_text())
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM, output
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["env_steps"] == last_state(tmp_path)["env_steps"] > 0


def columns_saved(directory: Path) -> int:
    """Columns that a source had seen when a checkpoint was written, and that were in it then."""
    names = segment_files_below(directory / "checkpoints")
    return max((int(name.split("-")[1]) + 1 for name in names), default=0)


@pytest.mark.slow
def test_a_replay_actor_with_sources_comes_back_with_the_contents_that_were_saved_last(tmp_path):
    process = start(tmp_path, *RAY, *OFTEN, *MIXED, "--replay.checkpoint=true", "--run.checkpoint_every_s=0.5")
    wait_for(process, lambda: columns_saved(tmp_path) >= 200)
    killed_at = time.monotonic()
    actors(process, "ReplayActor")[0].kill()
    goes_on(process, tmp_path, 1)
    assert time.monotonic() - killed_at < 30, "replaced, and ten updates more"
    summary, account = ended(process, tmp_path)
    assert summary["actors_restarted"] == 1
    assert account.closes() and account["committed"] == summary["env_steps"] == last_state(tmp_path)["env_steps"], (
        account
    )
    log = (tmp_path / "log.txt").read_text()
    _, replaced, after = log.partition("replay actor 0 replaced: it died")
    held = [int(columns) for columns in re.findall(r"replay source elite_1 goes on with (\d+) columns", after)]
    assert replaced and len(held) == 1 and held[0] >= 100, log
    assert "hold too little" not in after, "a ring that came back full serves at once"
    told = [row.get("replay/score_age") for row in read_rows(tmp_path / "metrics.jsonl")]
    ages = [age for age in told if age is not None]
    assert 0 < max(ages) <= 1, "one batch is assembled while the learner works on the one before"


@pytest.mark.slow
def test_the_queue_serves_for_sources_that_are_empty_after_their_replay_actor_died(tmp_path):
    process = start(tmp_path, *RAY, *OFTEN, *MIXED)
    wait_for(process, lambda: last_row(tmp_path).get("replay/waiting_share") == 0)
    actors(process, "ReplayActor")[0].kill()
    goes_on(process, tmp_path, 1)
    wait_for(process, lambda: (tmp_path / "log.txt").read_text().count("all replay sources serve") == 2)
    summary, account = ended(process, tmp_path)
    assert account.closes() and account["committed"] == summary["env_steps"], account
    after = (tmp_path / "log.txt").read_text().partition("replay actor 0 replaced: it died")[2]
    assert after.index("the queue serves 50 % of a batch for them") < after.index("all replay sources serve")


@pytest.mark.slow
def test_feeders_and_learner_ranks_are_replaced_and_one_that_stands_still_is_found(tmp_path):
    process = start(tmp_path, *RAY, *OFTEN, *RANKS)
    wait_for(process, lambda: last_row(tmp_path)["env_steps"] > 5_000)
    actors(process, "FeederActor")[0].kill()
    goes_on(process, tmp_path, 1)
    actors(process, "LearnerActor")[1].kill()
    goes_on(process, tmp_path, 2)
    os.kill(actors(process, "LearnerActor")[1].pid, signal.SIGSTOP)
    goes_on(process, tmp_path, 3)
    for learner in actors(process, "LearnerActor"):
        learner.kill()
    goes_on(process, tmp_path, 4)
    summary, account = ended(process, tmp_path)
    assert summary["actors_restarted"] == 4
    assert account.closes() and account["committed"] == summary["env_steps"], account
    assert "lost at the end of the run" not in (tmp_path / "log.txt").read_text()


@pytest.mark.slow
def test_a_learner_that_fails_again_and_again_fails_the_run_with_its_reason(tmp_path):
    fails = command(tmp_path, *RAY, "--actors.max_restarts_in_a_row=1", "--run.max_seconds=null")
    process = subprocess.Popen(fails, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    wait_for(process, lambda: last_row(tmp_path).get("env_steps"))
    killed: set[int] = set()
    while process.poll() is None:  # each as soon as it is there
        for learner in actors(process, "LearnerActor"):
            if learner.pid not in killed:
                learner.kill()
                killed.add(learner.pid)
    assert process.returncode == 1
    log = (tmp_path / "log.txt").read_text()
    assert len(killed) >= 2
    assert "failures in a row without an update between; the last: learner 0: " in log
    assert json.loads((tmp_path / "summary.json").read_text())["status"] == "failed"
