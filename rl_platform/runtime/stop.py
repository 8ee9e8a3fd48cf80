"""Why and how a run ends: signals, `rl-platform stop`, and the second Ctrl-C that waits for nobody."""

import fcntl
import json
import os
import signal
import time
from pathlib import Path
from types import FrameType

from rl_platform.runtime.errors import InputError

_STOP_FILE = "stop"
"""A run ends, after a checkpoint, when a file of this name appears in its folder."""
_LOCK_FILE = "lock"
"""Locked by the process that runs in this folder, as long as it lives."""
_LOOK_EVERY_S = 0.5


class StopRequest:
    """Whether somebody asked the run to end: `signal` (a number) or `by_file`. Owns the run's folder while it lives."""

    def __init__(self, run_dir: Path):
        self._lock = (run_dir / _LOCK_FILE).open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(f"{run_dir} is in use by a process that trains there; stop it or name another") from None
        self._file = run_dir / _STOP_FILE
        self._file.unlink(missing_ok=True)
        self._looked = 0.0
        self.signal: int | None = None
        self.by_file = False

    def install(self) -> None:
        """Take SIGINT and SIGTERM: the first asks, the second ends the process at once."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)

    def made(self) -> bool:
        """Whether the run should end now."""
        if time.monotonic() - self._looked > _LOOK_EVERY_S:
            self._looked = time.monotonic()
            self.by_file = self.by_file or self._file.exists()
        return self.signal is not None or self.by_file

    def release(self) -> None:
        """Give the folder up: the run has ended and everything is written."""
        self._file.unlink(missing_ok=True)
        self._lock.close()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self.signal = number


def stop_run(run_dir: Path) -> str:
    """Ask the run in `run_dir` to end, wait until it has, and say how it ended."""
    if not (run_dir / _LOCK_FILE).exists():
        raise InputError(f"{run_dir} is not a run's folder")
    with (run_dir / _LOCK_FILE).open() as lock:
        if _is_free(lock.fileno()):
            raise InputError(f"{run_dir}: nothing is running there")
        (run_dir / _STOP_FILE).touch()
        fcntl.flock(lock, fcntl.LOCK_SH)  # the run holds the lock until it has written everything
    summary = json.loads((run_dir / "summary.json").read_text())
    return f"{summary['status']} at {summary['env_steps']:,} env steps"


def _is_free(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return False
    fcntl.flock(lock, fcntl.LOCK_UN)
    return True
