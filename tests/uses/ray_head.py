"""A Ray started as an administrator starts it, beside any other on this machine, and jobs submitted to it."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil
from ray.job_submission import JobStatus, JobSubmissionClient

from tests.project.tree import ROOT

_BIN = Path(sys.executable).parent
_LIMIT_S = 120.0


class Head(NamedTuple):
    """A running head: the address of its dashboard, and a client of its jobs."""

    address: str
    jobs: JobSubmissionClient

    def submit(self, name: str, entrypoint: list[str], *options: str, working_dir: Path = ROOT) -> str:
        """`ray job submit --working-dir . -- …`; returns the job's id. Says so at once if it was refused."""
        command = ["ray", "job", "submit", "--address", self.address, "--submission-id", name, "--no-wait",
                   "--working-dir", ".", *options, "--", *entrypoint]  # fmt: skip
        _checked(command, cwd=working_dir)
        return name

    def stop(self, job: str) -> None:
        """`ray job stop`."""
        command = ["ray", "job", "stop", "--address", self.address, "--no-wait", job]
        _checked(command)

    def ended(self, job: str) -> JobStatus:
        """How the job ended."""
        give_up = time.monotonic() + _LIMIT_S
        while not (status := self.jobs.get_job_status(job)).is_terminal():
            assert time.monotonic() < give_up, self.jobs.get_job_logs(job)
            time.sleep(0.2)
        return status


def _checked(command: list[str], cwd: Path = ROOT) -> None:
    result = subprocess.run(command, cwd=cwd, env=_environment(), capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stdout + result.stderr


@contextmanager
def ray_head(num_cpus: int) -> Iterator[Head]:
    """`ray start --head` on ports and in a folder of its own; ended, with all its processes, afterwards."""
    port, dashboard, agent, client = _free_ports(4)
    # A short name: Ray's sockets lie in it.
    with tempfile.TemporaryDirectory(prefix="r", ignore_cleanup_errors=True) as folder:
        command = ["ray", "start", "--head", "--block", f"--num-cpus={num_cpus}", f"--temp-dir={folder}",
                   f"--object-store-memory={100 * 2**20}", f"--port={port}", f"--ray-client-server-port={client}",
                   "--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}",
                   f"--dashboard-agent-listen-port={agent}"]  # fmt: skip
        process = subprocess.Popen(command, env=_environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            yield _connected(f"http://127.0.0.1:{dashboard}", process)
        finally:
            _end(process)


def _environment() -> dict[str, str]:
    """This test run's, authentication included; the commands of this Python come first."""
    return {**os.environ, "PATH": f"{_BIN}{os.pathsep}{os.environ['PATH']}"}


def _free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago, all different."""
    with ExitStack() as open_:
        sockets = [open_.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _connected(address: str, process: subprocess.Popen) -> Head:
    give_up = time.monotonic() + _LIMIT_S
    while True:
        assert process.poll() is None, process.stdout.read().decode()
        try:
            return Head(address, JobSubmissionClient(address))
        except ConnectionError:  # the dashboard comes last
            assert time.monotonic() < give_up, "the dashboard does not answer"
            time.sleep(0.2)


def _end(process: subprocess.Popen) -> None:
    family = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    for left in psutil.wait_procs(family, timeout=10)[1]:
        left.kill()
