"""The replay shard: one road from unrolls to batches. Plain Python; knows nothing of where it runs."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from replay.mixture import Mixture, Portions
from replay.queue import QueueSource
from replay.ring import ColumnRing
from replay.source import ReplaySource
from rl_platform.core.types import Batch, ShardStatus, Trajectory, Unroll, Weights


class Drawn(NamedTuple):
    """Columns of the next batch, and where they lie."""

    ring: ColumnRing
    slots: np.ndarray


class ReplayShard:
    """Assembles batches from an on-policy queue and replay sources, and keeps count of what reached it.

    Every source is offered every unroll. A batch has the queue's columns first, then those of the sources in their
    order, each with exactly its share; a source that is not ready leaves its share to the queue
    (`replay/waiting_share` says how much of a batch that is). A column may be in the queue's part and in a source's.
    A batch of one part may hold views into storage: copy or use it before the next `insert`.

    Args:
      queue: None: the replay sources fill the batches alone, and there are none before all of them are ready.
      replayed: replay sources with distinct names, and the share of a batch that each has.
      batch_columns, max_columns: see `Mixture`.
    """

    def __init__(self, queue: QueueSource | None, replayed: Sequence[tuple[ReplaySource, float]] = (), *,
                 batch_columns: int, max_columns: int | None = None):  # fmt: skip
        self._queue = queue
        self.sources = [source for source, _ in replayed]
        self._mixture = Mixture([share for _, share in replayed], batch_columns=batch_columns, max_columns=max_columns)
        assert (queue is None) == (self._mixture.queue_columns == 0), "a queue, or sources whose shares add up to 1"
        assert len({source.name for source in self.sources}) == len(self.sources), "two sources of one name"
        self._env_steps = 0
        self._arrived = 0

    def insert(self, unroll: Unroll) -> ShardStatus:
        """Store an unroll. Its valid transitions count as env steps from here on, whatever becomes of them."""
        env_steps = int(unroll.steps.valid.sum())
        self._env_steps += env_steps
        self._arrived += env_steps
        if self._queue is not None:
            self._queue.insert(unroll)
        for source in self.sources:
            source.insert(unroll)
        return self.status()

    def next_batch(self, learner_version: int, weights: Weights | None = None) -> Batch | None:
        """The next batch for a learner that will be at `learner_version` when it uses it; None if too little waits.

        Sources that score their candidates do it here, under `weights`, the newest known.
        """
        waiting = self._queue.drop_stale(learner_version) if self._queue is not None else 0
        portions = self._portions(waiting)
        if portions.queue > waiting:
            return None
        drawn = self._draw(portions, weights)
        env_steps, self._env_steps = self._env_steps, 0
        return Batch(
            _assembled(drawn, portions.total),
            weight_version=np.concatenate([ring.weight_version[slots] for ring, slots in drawn]),
            origin=np.concatenate([ring.origin[slots] for ring, slots in drawn]),
            online=np.arange(portions.total) < portions.queue,
            env_steps=env_steps,
            columns_dropped=self._queue.take_dropped() if self._queue is not None else 0,
            uses=np.concatenate([ring.uses[slots] for ring, slots in drawn]),
            metrics=self._metrics(portions) | self._score_age(learner_version, weights),
        )

    def status(self) -> ShardStatus:
        """How much waits, and what the next batch would take of it."""
        waiting, capacity = (len(self._queue), self._queue.capacity) if self._queue is not None else (0, 0)
        needed = self._portions(waiting).queue
        ready = waiting // needed if needed else 1
        batch_columns = needed if self._queue is not None else 0
        return ShardStatus(ready, waiting, capacity, batch_columns, self._env_steps, self._arrived)

    def _portions(self, waiting: int) -> Portions:
        most = zip(self.sources, self._mixture.most_replayed, strict=True)
        return self._mixture.portions([source.ready(columns) for source, columns in most], waiting)

    def _draw(self, portions: Portions, weights: Weights | None) -> list[Drawn]:
        drawn = []
        if self._queue is not None:
            drawn.append(Drawn(self._queue.ring, self._queue.draw(portions.queue)))
        for source, columns in zip(self.sources, portions.replayed, strict=True):
            if columns:
                drawn.append(Drawn(source.ring, source.draw(columns, weights)))
        return drawn

    def _metrics(self, portions: Portions) -> dict[str, float]:
        if not self.sources:
            return {}
        shares = {
            "replay/online_share": portions.queue / portions.total,
            "replay/waiting_share": portions.lent / portions.total,
        }
        return shares | {key: value for source in self.sources for key, value in source.metrics().items()}

    def _score_age(self, learner_version: int, weights: Weights | None) -> dict[str, float]:
        """How many updates older than the learner will be are the weights that candidates were compared under."""
        if weights is None or not any(source.scores for source in self.sources):
            return {}
        return {"replay/score_age": float(learner_version - weights.version)}


def _assembled(drawn: list[Drawn], total: int) -> Trajectory:
    """One part: as it is stored; several: copied once, one after the other."""
    if len(drawn) == 1:
        return drawn[0].ring.read(drawn[0].slots)
    steps, start = drawn[0].ring.blank(total), 0
    for ring, slots in drawn:
        ring.copy_to(slots, Trajectory(*(array[start : start + len(slots)] for array in steps)))
        start += len(slots)
    return steps
