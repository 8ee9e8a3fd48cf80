"""Calls to one Ray actor, dealt with in the order in which they were made."""

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

    def add(self, answer: ray.ObjectRef, handle: Callable[[ray.ObjectRef], None]) -> None:
        """Have `handle` called with the answer's reference when its turn has come."""
        self._line.append((answer, handle))

    def oldest(self) -> list[ray.ObjectRef]:
        """What to wait for: one reference, or none."""
        return [self._line[0][0]] if self._line else []

    def handle_oldest(self) -> None:
        """Deal with the oldest call, which has been answered."""
        answer, handle = self._line.popleft()
        handle(answer)
