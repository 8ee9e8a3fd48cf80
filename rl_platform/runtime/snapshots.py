"""The learner's newest known state, from which its ranks are begun anew when one of them fails."""

import time
from collections.abc import Callable
from typing import Any

import ray
from ray.exceptions import RayError

from rl_platform.runtime.checkpoint import State


class Snapshots:
    """Asks for the learner's state now and then, between two of its updates, and keeps the newest by value.

    Args:
      restored: the state before the first snapshot; None: the learner began with fresh weights.
      every_s: time between two snapshots.
    """

    def __init__(self, restored: State | None, *, every_s: float):
        self.newest = restored
        self._every_s = every_s
        self._due = time.monotonic() + every_s
        self._asked: ray.ObjectRef | None = None
        self._deliveries: list[Callable[[State], None]] = []

    def ask(self, deliver: Callable[[State], None]) -> None:
        """Have the next snapshot delivered too."""
        self._deliveries.append(deliver)
        self._due = time.monotonic()

    def tick(self, learner: Any) -> None:
        """Take a snapshot that has come, ask for one that is due."""
        if self._asked is None:
            if time.monotonic() >= self._due:
                self._due = time.monotonic() + self._every_s
                self._asked = learner.state.remote()
        elif ray.wait([self._asked], timeout=0)[0]:
            asked, self._asked = self._asked, None
            self._take(asked)

    def forget_asked(self) -> None:
        """The learner that was asked is no more."""
        self._asked = None
        if self._deliveries:
            self._due = time.monotonic()

    def _take(self, asked: ray.ObjectRef) -> None:
        try:
            self.newest = ray.get(asked)
        except RayError:
            return  # its feeder hears of the failure, and what to do about it is decided there
        deliveries, self._deliveries = self._deliveries, []
        for deliver in deliveries:
            deliver(self.newest)
