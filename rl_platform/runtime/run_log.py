"""Where a run's messages go: log.txt and the terminal."""

import logging
import os
from pathlib import Path

from rich.console import Console
from rich.logging import RichHandler

log = logging.getLogger("rl_platform")


class RunConsole(Console):
    """A console whose reader may go away (`rl-platform train … | head`): it falls silent, and the run goes on."""

    def on_broken_pipe(self) -> None:
        """Write to nowhere from now on, what others still have buffered for this file included."""
        self.quiet = True
        silence(self.file.fileno())


def silence(descriptor: int) -> None:
    """Let everything written to a file descriptor disappear."""
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), descriptor)


def open_log(path: Path, console: Console) -> list[logging.Handler]:
    """Log to a file and a console, until `close_log`."""
    to_file = logging.FileHandler(path)
    to_file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    handlers = [to_file, RichHandler(console=console, show_path=False)]
    log.setLevel(logging.INFO)
    for handler in handlers:
        log.addHandler(handler)
    return handlers


def close_log(handlers: list[logging.Handler]) -> None:
    """Give up what `open_log` returned."""
    for handler in handlers:
        log.removeHandler(handler)
        handler.close()
