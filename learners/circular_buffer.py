"""Reuse of recent batches, an exact number of times each (Luo et al. 2020, IMPACT)."""

from typing import Any, Generic, NamedTuple, TypeVar

Item = TypeVar("Item")


class Served(NamedTuple):
    """An item to train on now."""

    item: Any
    uses: int
    """How often it was served before; 0: it is new."""


class CircularBuffer(Generic[Item]):
    """Holds the newest items, serves each one `uses` times over its life, and lets it go.

    While it fills, a push serves the new item alone. A push that fills it goes on, always with the item served least
    (the oldest of these), until one has had all its uses and leaves. So from the second filling on a push serves
    exactly `uses` items: the new one `uses` − 1 times, then the oldest for its last. Items leave in the order in which
    they came. With `uses` = 1 every item is served once, at once.

    Args:
      capacity: items held at most, during a push; between two pushes there is always room for one.
      uses: how often each is served.
    """

    def __init__(self, capacity: int, uses: int):
        assert capacity >= 1 and uses >= 1, (capacity, uses)
        self._capacity, self._uses = capacity, uses
        self._held: list[Served] = []  # oldest first

    def __len__(self) -> int:
        return len(self._held)

    def push(self, item: Item) -> list[Served]:
        """Take in an item; returns what to train on now, in order, `item` first."""
        self._held.append(Served(item, 0))
        served = [self._serve(len(self._held) - 1)]
        while len(self._held) == self._capacity:
            served.append(self._serve(self._least_used()))
        return served

    def _serve(self, index: int) -> Served:
        """Count one more use; an item's last one makes it leave."""
        served = self._held.pop(index)
        if served.uses + 1 < self._uses:
            self._held.insert(index, served._replace(uses=served.uses + 1))
        return served

    def _least_used(self) -> int:
        """Index of the oldest of the items served least."""
        return min(range(len(self._held)), key=lambda index: self._held[index].uses)
