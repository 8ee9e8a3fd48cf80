"""How fast a run is: committed env steps a second, over the whole run and just now."""

import math
from collections import deque
from typing import NamedTuple

WARM_UP_UPDATES = 10
"""Updates at the start of a process that the steady rate leaves out: they hold process starts, compilation, caches."""
RECENT_WINDOW_S = 30.0


class Commit(NamedTuple):
    """An update was done at `time_s`, and with it `env_steps` were committed in all."""

    time_s: float
    env_steps: int


class StepRate:
    """Rates from the times at which updates committed env steps.

    steady = (env steps at the last update − env steps at the end of warm-up) / (time between the two), summed over the
    processes that a resumed run had; warm-up ends with update `WARM_UP_UPDATES` of each process. What follows
    the last update (a final evaluation, shutting down) is left out as well.
    """

    def __init__(self) -> None:
        self._updates = 0
        self._warm: Commit | None = None
        self._last: Commit | None = None
        self._recent: deque[Commit] = deque()
        self._earlier_env_steps = 0
        self._earlier_s = 0.0

    def add(self, commit: Commit) -> None:
        """One update was done."""
        self._updates += 1
        if self._updates == WARM_UP_UPDATES:
            self._warm = commit
        self._last = commit
        self._recent.append(commit)
        self._forget(commit.time_s)

    def steady(self) -> float:
        """Env steps a second since warm-up; NaN before there is a measure of it."""
        env_steps, seconds = self._steady_totals()
        return env_steps / seconds if seconds > 0 else math.nan

    def recent(self, now_s: float) -> float:
        """Env steps a second over about the last `RECENT_WINDOW_S`; falls to 0 when updates stop, NaN before two."""
        self._forget(now_s)
        if self._updates < 2 or now_s <= self._recent[0].time_s:
            return math.nan
        gained = self._recent[-1].env_steps - self._recent[0].env_steps  # negative where a snapshot took steps back
        return max(gained, 0) / (now_s - self._recent[0].time_s)

    def _forget(self, now_s: float) -> None:
        """Keep the commits of the window and the last one before it, from which the window's steps are counted."""
        while len(self._recent) > 1 and self._recent[1].time_s <= now_s - RECENT_WINDOW_S:
            self._recent.popleft()

    def _steady_totals(self) -> tuple[int, float]:
        if self._warm is None or self._last is None:
            return self._earlier_env_steps, self._earlier_s
        env_steps = self._last.env_steps - self._warm.env_steps
        return self._earlier_env_steps + env_steps, self._earlier_s + self._last.time_s - self._warm.time_s

    def state_dict(self) -> dict[str, float]:
        """Env steps and seconds of the steady rate so far."""
        env_steps, seconds = self._steady_totals()
        return {"env_steps": env_steps, "seconds": seconds}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Carry on from an earlier process; this one warms up for itself."""
        self._earlier_env_steps, self._earlier_s = int(state["env_steps"]), float(state["seconds"])
