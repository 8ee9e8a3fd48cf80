"""`ray job submit` to a running cluster: training, a second submission that resumes, and `ray job stop`."""

import json
import re
import time
from pathlib import Path

import pytest
from ray.job_submission import JobStatus

from tests.runtime.launched import SMALL, last_row, last_state
from tests.uses.ray_head import Head, ray_head

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

PATIENT = json.dumps({"env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": "60"}})
"""Ray would kill a job three seconds after it was asked to stop."""


@pytest.fixture(scope="module")
def head():
    with ray_head(num_cpus=2) as running:
        yield running


def command(directory: Path, env_steps: int, *more: str) -> list[str]:
    return ["rl-platform", "train", "classic/cartpole_impala", *SMALL, "--cluster.mode=ray", f"--run.dir={directory}",
            f"--run.total_env_steps={env_steps}", "--run.max_seconds=null", *more]  # fmt: skip


def summary(directory: Path) -> dict:
    return json.loads((directory / "summary.json").read_text())


def accounts(log: str) -> list[tuple[int, int]]:
    """Of each launch: env steps that were committed, and that were lost; all that arrived must add up."""
    pattern = r"(\d+) arrived at the replay shards, (\d+) committed, (\d+) in the shards and not committed, (\d+) lost"
    found = [tuple(map(int, numbers)) for numbers in re.findall(pattern, log)]
    assert all(arrived == committed + waiting + lost for arrived, committed, waiting, lost in found)
    return [(committed, lost) for _, committed, _, lost in found]


def test_a_job_is_resumed_by_another_and_stopped(head: Head, tmp_path):
    first = head.submit("first", command(tmp_path, 2000))
    assert head.ended(first) is JobStatus.SUCCEEDED, head.jobs.get_job_logs(first)
    before = last_state(tmp_path)
    assert before["env_steps"] == summary(tmp_path)["env_steps"] >= 2000

    second = head.submit("second", command(tmp_path, 10**9, "--resume"), "--runtime-env-json", PATIENT)
    while last_row(tmp_path)["env_steps"] <= before["env_steps"]:
        assert not head.jobs.get_job_status(second).is_terminal(), head.jobs.get_job_logs(second)
        time.sleep(0.1)
    head.stop(second)
    assert head.ended(second) is JobStatus.STOPPED
    after = last_state(tmp_path)
    assert after["env_steps"] == summary(tmp_path)["env_steps"] > before["env_steps"]
    assert summary(tmp_path)["status"] == "stopped"
    assert after["updates"] > before["updates"]

    log = (tmp_path / "log.txt").read_text()
    assert f"resuming from {tmp_path / 'checkpoints' / str(before['env_steps'])}" in log
    committed = (before["env_steps"], after["env_steps"] - before["env_steps"])
    assert accounts(log) == [(committed[0], 0), (committed[1], 0)]
