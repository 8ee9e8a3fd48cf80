"""The one-process wiring, without Ray: serial (deterministic, for a debugger) or overlapped (two threads)."""

import threading
from collections.abc import Sequence
from itertools import cycle

import numpy as np

from rl_platform.core.interfaces import LearnerRole, Shard, Worker
from rl_platform.core.types import Batch, Trajectory, Weights
from rl_platform.runtime.run import Run
from rl_platform.runtime.throttle import Throttle


def run_serial(workers: Sequence[Worker], shard: Shard, learner: LearnerRole, run: Run) -> None:
    """Collect, insert, update, in turn, until the run should stop."""
    weights = learner.weights()
    for worker in cycle(workers):
        unroll, info = worker.collect(weights)
        run.add_rollout(info)
        status = shard.insert(unroll)
        while status.ready and not run.should_stop():
            batch = shard.next_batch(weights.version)
            if batch is None:
                break
            run.add_update(learner.update(batch))
            weights = learner.weights()
            status = shard.status()
        run.add_shard(status)
        run.tick()
        if run.checkpoint_due():
            run.save(learner.state_dict())
        if run.should_stop():
            return


class _Exchange:
    """What the collector thread and the learner share, guarded by one condition."""

    def __init__(self, shard: Shard, weights: Weights):
        self.changed = threading.Condition()
        self.shard = shard
        self.weights = weights
        self.updates_begun = weights.version
        self.closed = False
        self.error: BaseException | None = None


def run_overlapped(workers: Sequence[Worker], shard: Shard, learner: LearnerRole, run: Run, throttle: Throttle) -> None:
    """Collect in a second thread while the learner updates in this one."""
    exchange = _Exchange(shard, learner.weights())
    collector = threading.Thread(target=_collect_forever, args=(workers, exchange, throttle, run), name="collector")
    collector.start()
    try:
        while not run.should_stop():
            _update_once(exchange, learner, run)
            run.add_shard(shard.status())
            run.tick()
            if run.checkpoint_due():
                run.save(learner.state_dict())
    finally:
        with exchange.changed:
            exchange.closed = True
            exchange.changed.notify_all()
        collector.join()


def _update_once(exchange: _Exchange, learner: LearnerRole, run: Run) -> None:
    with exchange.changed:
        exchange.changed.wait_for(lambda: exchange.error or exchange.shard.status().ready, timeout=1.0)
        if exchange.error:
            raise exchange.error
        batch = exchange.shard.next_batch(exchange.updates_begun)
        if batch is None:
            return
        batch = _copied(batch)
        exchange.updates_begun += 1
        exchange.changed.notify_all()
    run.add_update(learner.update(batch))
    weights = learner.weights()
    with exchange.changed:
        exchange.weights = weights
        exchange.changed.notify_all()


def _copied(batch: Batch) -> Batch:
    """The batch in memory of its own: the collector goes on writing to the shard."""
    return batch._replace(steps=Trajectory(*(np.array(array) for array in batch.steps)))


def _collect_forever(workers: Sequence[Worker], exchange: _Exchange, throttle: Throttle, run: Run) -> None:
    def may_collect() -> bool:
        return exchange.closed or throttle.may_collect(
            columns_ahead=exchange.shard.status().columns,
            updates_begun=exchange.updates_begun,
            weight_version=exchange.weights.version,
        )

    try:
        for worker in cycle(workers):
            with exchange.changed:
                exchange.changed.wait_for(may_collect)
                if exchange.closed:
                    return
                weights = exchange.weights
            unroll, info = worker.collect(weights)
            with exchange.changed:
                run.add_rollout(info)
                exchange.shard.insert(unroll)
                exchange.changed.notify_all()
    except BaseException as error:
        with exchange.changed:
            exchange.error = error
            exchange.changed.notify_all()
