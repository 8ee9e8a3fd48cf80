"""Calls to one Ray actor, dealt with in the order in which they were made."""

import time
from collections import deque
from collections.abc import Callable

import ray


class Calls:
    """What was asked of one actor and is not dealt with yet.

    An actor works on its calls in order, but their answers may overtake each other on the way. So only the oldest is
    waited for: dealing with a newer one first would take old news for new, such as a queue emptier than it is.
    """

    def __init__(self) -> None:
        self._line: deque[tuple[ray.ObjectRef, Callable[[ray.ObjectRef], None]]] = deque()
        self._heard = time.monotonic()

    def add(self, answer: ray.ObjectRef, handle: Callable[[ray.ObjectRef], None]) -> None:
        """Have `handle` called with the answer's reference when its turn has come."""
        if not self._line:
            self._heard = time.monotonic()
        self._line.append((answer, handle))

    def oldest(self) -> list[ray.ObjectRef]:
        """What to wait for: one reference, or none."""
        return [self._line[0][0]] if self._line else []

    def handle_oldest(self) -> None:
        """Deal with the oldest call, which has been answered."""
        answer, handle = self._line.popleft()
        self._heard = time.monotonic()
        handle(answer)

    def silent_s(self) -> float:
        """Seconds for which the actor has owed an answer; 0 if it owes none, or one that came waits here."""
        if not self._line or ray.wait(self.oldest(), timeout=0, fetch_local=False)[0]:
            return 0.0
        return time.monotonic() - self._heard
