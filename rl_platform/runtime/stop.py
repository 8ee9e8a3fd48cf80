"""Why and how a run ends: signals, `rl-platform stop`, and the second Ctrl-C that waits for nobody."""

import os
import signal
import time
from pathlib import Path
from types import FrameType

STOP_FILE = "stop"
"""A run ends, after a checkpoint, when a file of this name appears in its folder."""

_LOOK_EVERY_S = 0.5


class StopRequest:
    """Whether somebody asked the run to end: `signal` (a number) or `by_file`."""

    def __init__(self, run_dir: Path):
        self._file = run_dir / STOP_FILE
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

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self.signal = number
