"""How learner ranks keep step: each update is taken by all of them, also by one that has no batch for it."""

import threading
import time
from collections.abc import Sequence
from typing import Any

_LOOK_EVERY_S = 0.2
_LOOK_STARVING_S = 0.01


class Lockstep:
    """What one rank knows of the updates that the others began; without others it does nothing.

    A rank that begins an update tells the feeders of the others, which ask their learners for the same update: with
    the batch that they were about to have, or, if none forms within `patience_s`, with none. Having gone without once,
    a rank joins the following updates at once until it has a batch again: a rank that starves slows the others once.
    """

    def __init__(self, others: Sequence[Any] = (), *, patience_s: float = 0.0):
        self._others = others
        self._patience_s = patience_s
        self._newest = 0
        self._hearing = threading.Lock()
        self._since: float | None = None
        self._starving = False

    def meet(self, others: Sequence[Any]) -> None:
        """From now on the other ranks' feeders are these."""
        self._others = tuple(others)

    def heard(self, updates_begun: int) -> None:
        """Another rank has begun so many updates. Called from another thread."""
        with self._hearing:
            self._newest = max(self._newest, updates_begun)

    def began(self, updates_begun: int) -> None:
        """This rank has begun so many updates: tell the others."""
        self._since = None
        if updates_begun > self._newest:
            for other in self._others:
                other.hear.remote(updates_begun)

    def has_batch(self) -> None:
        """This rank takes part with a batch of its own."""
        self._starving = False

    def must_join(self, updates_begun: int) -> bool:
        """Whether this rank, which has begun so many updates and has no batch, should join the next without one."""
        if self._newest <= updates_begun:
            self._since = None
            return False
        self._since = self._since or time.monotonic()
        if not self._starving and time.monotonic() - self._since < self._patience_s:
            return False
        self._starving = True
        return True

    def wait_s(self, timeout_s: float) -> float:
        """How long this rank may wait before it looks again."""
        if not self._others:
            return timeout_s
        return min(timeout_s, _LOOK_STARVING_S if self._starving else _LOOK_EVERY_S)
