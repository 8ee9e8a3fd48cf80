"""The replay shard: one road from unrolls to batches. Plain Python; knows nothing of where it runs."""

import numpy as np

from replay.queue import QueueSource
from rl_platform.core.types import Batch, ShardStatus, Unroll, Weights


class ReplayShard:
    """Assembles batches of `batch_columns` columns from its source and keeps count of what reached it.

    A batch may hold views into the source's storage: copy or use it before the next `insert`.
    """

    def __init__(self, queue: QueueSource, *, batch_columns: int):
        self._queue = queue
        self._batch_columns = batch_columns
        self._env_steps = 0
        self._arrived = 0

    def insert(self, unroll: Unroll) -> ShardStatus:
        """Store an unroll. Its valid transitions count as env steps from here on, whatever becomes of them."""
        env_steps = int(unroll.steps.valid.sum())
        self._env_steps += env_steps
        self._arrived += env_steps
        self._queue.insert(unroll)
        return self.status()

    def next_batch(self, learner_version: int, weights: Weights | None = None) -> Batch | None:
        """The next batch for a learner that will be at `learner_version` when it uses it; None if too little waits."""
        taken = self._queue.take(self._batch_columns, learner_version)
        if taken is None:
            return None
        steps, versions = taken
        env_steps, self._env_steps = self._env_steps, 0
        online = np.ones(self._batch_columns, bool)
        return Batch(steps, versions, online, env_steps, self._queue.take_dropped(),
                     uses=np.ones(self._batch_columns, np.int32), metrics={})  # fmt: skip

    def status(self) -> ShardStatus:
        """How much waits."""
        waiting = len(self._queue)
        return ShardStatus(waiting // self._batch_columns, waiting, self._queue.capacity, self._batch_columns,
                           self._env_steps, self._arrived)  # fmt: skip
