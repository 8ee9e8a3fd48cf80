"""Who may train in a folder, and how a run ends: signals, `rl-platform stop`, a second Ctrl-C that waits for nobody."""

import fcntl
import json
import os
import signal
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

from rl_platform.runtime.errors import InputError, blaming

_STOP_FILE = "stop"
"""A run ends, after a checkpoint, when a file of this name appears in its folder."""
_LOCK_FILE = "lock"
"""Locked by the process that runs in this folder, as long as it lives."""
_LOOK_EVERY_S = 0.5
_ENDED_WELL = ("done", "stopped")


class StopRequest:
    """Whether somebody asked the run to end: `signal` (a number) or `by_file`.

    Owns the run's folder, which it makes, from its construction to its release; as a context it takes the signals too.
    InputError if another process owns the folder or it cannot be written to.
    """

    def __init__(self, run_dir: Path):
        with blaming(f"run.dir {run_dir}", OSError):
            run_dir.mkdir(parents=True, exist_ok=True)
            self._lock = (run_dir / _LOCK_FILE).open("w")
            _take(self._lock.fileno(), run_dir)
        self._file = run_dir / _STOP_FILE
        self._file.unlink(missing_ok=True)
        self._looked = 0.0
        self._previous: dict[int, Any] = {}
        self.signal: int | None = None
        self.by_file = False

    def __enter__(self) -> "StopRequest":
        self.install()
        return self

    def __exit__(self, *exception: object) -> None:
        self.release()

    def install(self) -> None:
        """Take SIGINT and SIGTERM: the first asks, the second ends the process at once. Main thread only, else nothing.

        May be called again when somebody else took them meanwhile.
        """
        if threading.current_thread() is not threading.main_thread():
            return
        for number in (signal.SIGINT, signal.SIGTERM):
            previous = signal.signal(number, self._on_signal)
            self._previous.setdefault(number, previous)

    def made(self) -> bool:
        """Whether the run should end now."""
        if time.monotonic() - self._looked > _LOOK_EVERY_S:
            self._looked = time.monotonic()
            self.by_file = self.by_file or self._file.exists()
        return self.signal is not None or self.by_file

    def release(self) -> None:
        """Give folder and signals back: the run has ended and everything is written."""
        self._file.unlink(missing_ok=True)
        self._lock.close()
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self.signal = number


def _take(lock: int, run_dir: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InputError(f"{run_dir} is in use by a process that trains there; stop it or name another") from None


def stop_run(run_dir: Path) -> tuple[str, int]:
    """Ask the run in `run_dir` to end and wait until it has: how it ended, and the exit status (1: not as asked)."""
    if not (run_dir / _LOCK_FILE).exists():
        raise InputError(f"{run_dir} is not a run's folder")
    with blaming(str(run_dir), OSError), (run_dir / _LOCK_FILE).open() as lock:
        if _is_free(lock.fileno()):
            raise InputError(f"{run_dir}: nothing is running there")
        _ask_until_free(run_dir / _STOP_FILE, lock.fileno())
    return _ending(run_dir / "summary.json")


def _ask_until_free(stop_file: Path, lock: int) -> None:
    """The run holds its lock until all is written. Ask again and again: a run that starts clears older requests."""
    while not _is_free(lock):
        stop_file.touch()
        time.sleep(_LOOK_EVERY_S / 2)
    stop_file.unlink(missing_ok=True)


def _ending(summary_file: Path) -> tuple[str, int]:
    summary = json.loads(summary_file.read_text()) if summary_file.exists() else {"status": "running"}
    if summary["status"] == "running":
        return "ended without a checkpoint: it was killed, or its machine went away", 1
    text = f"{summary['status']} at {summary['env_steps']:,} env steps"
    return text, 0 if summary["status"] in _ENDED_WELL else 1


def _is_free(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    fcntl.flock(lock, fcntl.LOCK_UN)
    return True
