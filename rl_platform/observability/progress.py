"""Live progress in a terminal: a table that renews itself, or plain lines where the output is no terminal."""

import math
import time
from collections.abc import Callable, Mapping
from typing import Literal

from rich.console import Console
from rich.live import Live

from rl_platform.observability.progress_view import Budget, progress_line, progress_table

ProgressMode = Literal["auto", "on", "off"]


class Progress:
    """Shows metrics rows (`RunStatistics.row`) as they come.

    Modes: `on` redraws a live table with every row; `auto` does so on a terminal, and elsewhere prints a plain line at
    most every `plain_every_s`, and the last row when it ends. While the table is shown, log through `console` (rich's
    RichHandler takes it), or the lines cross the table.
    """

    def __init__(
        self,
        budget: Budget,
        *,
        title: str = "",
        mode: ProgressMode = "auto",
        plain_every_s: float = 10.0,
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.console = Console() if console is None else console
        self._budget = budget
        self._title = title
        self._plain = mode == "auto" and not self._on_terminal()
        self._live = None if self._plain or mode == "off" else Live(console=self.console, auto_refresh=False)
        self._plain_every_s = plain_every_s
        self._clock = clock
        self._next_line_s = -math.inf
        self._unshown: Mapping[str, float] | None = None

    def _on_terminal(self) -> bool:
        """Asked of the file: rich's `is_terminal` also says yes to a pipe under FORCE_COLOR."""
        return self.console.file.isatty() and not self.console.is_dumb_terminal

    def update(self, row: Mapping[str, float]) -> None:
        """Show a new row."""
        self._unshown = row
        if self._live is not None:
            self._live.start()  # no effect when started; not earlier: a start-up that fails shows no empty table
            self._live.update(progress_table(row, self._budget, self._title), refresh=True)
        elif self._plain and self._clock() >= self._next_line_s:
            self._print_line()

    def _print_line(self) -> None:
        if self._unshown is None:
            return
        self.console.print(
            progress_line(self._unshown, self._budget), markup=False, highlight=False, soft_wrap=True, emoji=False
        )
        self._unshown = None
        self._next_line_s = self._clock() + self._plain_every_s

    def close(self) -> None:
        """Leave the last state on the screen and the terminal as it was."""
        if self._live is not None:
            self._live.stop()
        elif self._plain:
            self._print_line()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
