"""The one-process wiring, without Ray: serial (deterministic, for a debugger) or overlapped (two threads)."""

import threading
from collections.abc import Sequence
from itertools import cycle

import numpy as np

from rl_platform.core.interfaces import LearnerRole, Shard, Worker
from rl_platform.core.types import Batch, Trajectory, Weights
from rl_platform.runtime.hangs import hang_of, hangs_named
from rl_platform.runtime.run import Run
from rl_platform.runtime.run_log import log
from rl_platform.runtime.throttle import Throttle

_LOOK_EVERY_S = 0.5
"""Longest time between two looks at the clock, signals and hangs."""
_LAST_CALL_S = 5.0
"""How long an environment call under way may take at the end of a run, before it is left behind."""


def run_serial(
    workers: Sequence[Worker], shard: Shard, learner: LearnerRole, run: Run, *, step_timeout_s: float = 30.0
) -> None:
    """Collect, insert, update, in turn, until the run should stop.

    An environment that takes longer than `step_timeout_s` is named in the log; only the user can end such a wait.
    """
    weights = learner.weights()
    with hangs_named(workers, step_timeout_s):
        for worker in cycle(workers):
            unroll, info = worker.collect(weights)
            run.add_rollout(info)
            shard.insert(unroll)
            weights = _use_up(shard, learner, run, weights)
            run.add_shard(shard.status())
            run.tick()
            if run.checkpoint_due():
                run.save(learner.state_dict())
            if run.should_stop():
                return


def _use_up(shard: Shard, learner: LearnerRole, run: Run, weights: Weights) -> Weights:
    """Update as long as batches are ready and the run goes on; returns the newest weights."""
    while shard.status().ready and not run.should_stop():
        batch = shard.next_batch(weights.version)
        if batch is None:
            break
        run.add_update(learner.update(batch))
        weights = learner.weights()
    return weights


class _Exchange:
    """What the collector thread and the learner share, guarded by one condition."""

    def __init__(self, shard: Shard, weights: Weights):
        self.changed = threading.Condition()
        self.shard = shard
        self.weights = weights
        self.updates_begun = weights.version
        self.closed = False
        self.error: BaseException | None = None

    def close(self) -> None:
        """Begin no more unrolls."""
        with self.changed:
            self.closed = True
            self.changed.notify_all()


def run_overlapped(workers: Sequence[Worker], shard: Shard, learner: LearnerRole, run: Run, throttle: Throttle, *,
                   step_timeout_s: float = 30.0) -> None:  # fmt: skip
    """Collect in a second thread while the learner updates in this one.

    Raises:
      RuntimeError: an environment has not returned for `step_timeout_s`. Whatever the collector raises is raised too.
    """
    exchange = _Exchange(shard, learner.weights())
    # A daemon: an environment that never returns must not keep the process from ending.
    collector = threading.Thread(
        target=_collect_forever, args=(workers, exchange, throttle, run), name="collector", daemon=True
    )
    collector.start()
    try:
        while not run.should_stop():
            _update_once(exchange, learner, run)
            run.add_shard(shard.status())
            run.tick()
            if run.checkpoint_due():
                run.save(learner.state_dict())
            if hang := hang_of(workers, step_timeout_s):
                raise RuntimeError(hang)
    finally:
        exchange.close()
        _leave(collector, workers, min(step_timeout_s, _LAST_CALL_S))
    if exchange.error:
        log.warning("the collector failed while the run ended", exc_info=exchange.error)


def _update_once(exchange: _Exchange, learner: LearnerRole, run: Run) -> None:
    """One update, if a batch forms soon."""
    with exchange.changed:
        exchange.changed.wait_for(lambda: exchange.error or exchange.shard.status().ready, timeout=_LOOK_EVERY_S)
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
                if exchange.closed:
                    return  # the run may have given this call up: its records are closed
                run.add_rollout(info)
                exchange.shard.insert(unroll)
                exchange.changed.notify_all()
    except BaseException as error:
        with exchange.changed:
            exchange.error = error
            exchange.changed.notify_all()


def _leave(collector: threading.Thread, workers: Sequence[Worker], limit_s: float) -> None:
    """Wait until the collector has ended, or is in an environment call longer than `limit_s`: then say so and go on."""
    while collector.is_alive():
        collector.join(_LOOK_EVERY_S)
        if hang := hang_of(workers, limit_s):
            log.warning("%s; the run ends without it", hang)
            return
