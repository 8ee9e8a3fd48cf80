"""The one-process wiring, without Ray: serial (deterministic, for a debugger) or overlapped (two threads)."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import cycle
from typing import Any

import numpy as np
import torch

from rl_platform.core.interfaces import LearnerRole, Shard, Worker
from rl_platform.core.types import Batch, Trajectory, Weights
from rl_platform.runtime.checkpoint import State
from rl_platform.runtime.evaluators import Evaluator
from rl_platform.runtime.hangs import hang_of, hangs_named
from rl_platform.runtime.run import Run
from rl_platform.runtime.run_log import log
from rl_platform.runtime.throttle import Throttle

_LOOK_EVERY_S = 0.5
"""Longest time between two looks at the clock, signals and hangs."""
_LAST_CALL_S = 5.0
"""How long an environment call under way may take at the end of a run, before it is left behind."""

ReplayState = Callable[[AbstractContextManager[Any]], State]
"""The replay sources' part of a checkpoint; its argument guards them while they are read."""


@contextmanager
def serial_training(workers: Sequence[Worker], shard: Shard, learner: LearnerRole, run: Run, evaluator: Evaluator,
                    replay_state: ReplayState, *,
                    step_timeout_s: float = 30.0) -> Iterator["SerialTraining"]:  # fmt: skip
    """Collect, insert, update, in turn.

    An environment that takes longer than `step_timeout_s` is named in the log; only the user can end such a wait.
    """
    with hangs_named(workers, step_timeout_s):
        yield SerialTraining(workers, shard, learner, run, evaluator, replay_state)


class SerialTraining:
    """One worker's unroll and the updates that it makes possible, a step."""

    def __init__(self, workers: Sequence[Worker], shard: Shard, learner: LearnerRole, run: Run, evaluator: Evaluator,
                 replay_state: ReplayState):  # fmt: skip
        self.evaluator = evaluator
        self._workers, self._replay_state = cycle(workers), replay_state
        self._shard, self._learner, self._run = shard, learner, run
        self._weights = learner.weights()

    def step(self) -> None:
        """Collect, insert, and update as long as batches are ready."""
        unroll, info = next(self._workers).collect(self._weights)
        self._run.add_rollout(info)
        self._shard.insert(unroll)
        while self._shard.status().ready and not self._run.should_stop():
            batch = self._shard.next_batch(self._weights.version, self._weights)
            if batch is None:
                break
            self._run.add_update(self._learner.update(batch))
            self._weights = self._learner.weights()
        self._run.add_shard(self._shard.status())

    def ask_for_state(self, deliver: Callable[[State], None]) -> None:
        """Deliver it at once."""
        deliver(self._learner.state_dict())

    def ask_for_checkpoint(self, deliver: Callable[[State], None]) -> None:
        """Deliver it at once."""
        deliver(self.end())

    def end(self) -> State:
        """The state of learner and replay: nothing is under way between two steps."""
        return self._learner.state_dict() | self._replay_state(nullcontext())

    rescue = end


class _Shared:
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


@contextmanager
def overlapped_training(
    workers: Sequence[Worker], shard: Shard, learner: LearnerRole, run: Run, evaluator: Evaluator,
    replay_state: ReplayState, throttle: Throttle, *, step_timeout_s: float = 30.0,
) -> Iterator["OverlappedTraining"]:  # fmt: skip
    """Collect in a second thread, from the first step on, while the learner updates in this one."""
    shared = _Shared(shard, learner.weights())
    # A daemon: an environment that never returns must not keep the process from ending.
    collector = threading.Thread(
        target=_collect_forever, args=(workers, shared, throttle, run, torch.get_num_threads()), name="collector",
        daemon=True,
    )  # fmt: skip
    try:
        yield OverlappedTraining(workers, shared, collector, learner, run, evaluator, replay_state, step_timeout_s)
    finally:
        shared.close()
        _leave(collector, workers, min(step_timeout_s, _LAST_CALL_S))
    if shared.error:
        log.warning("the collector failed while the run ended", exc_info=shared.error)


class OverlappedTraining:
    """One update a step, if a batch forms soon.

    A step raises RuntimeError when an environment has not returned for `step_timeout_s`, and whatever the collector
    raises.
    """

    def __init__(self, workers: Sequence[Worker], shared: _Shared, collector: threading.Thread,
                 learner: LearnerRole, run: Run, evaluator: Evaluator, replay_state: ReplayState,
                 step_timeout_s: float):  # fmt: skip
        self.evaluator = evaluator
        self._collector = collector
        self._replay_state = replay_state
        self._workers, self._shared, self._learner, self._run = workers, shared, learner, run
        self._step_timeout_s = step_timeout_s

    def step(self) -> None:
        """Update once, if a batch forms soon."""
        if self._collector.ident is None:  # not before: a resumed run that has nothing left to do leaves all as it was
            self._collector.start()
        batch = self._next_batch()
        if batch is not None:
            self._run.add_update(self._learner.update(batch))
            self._publish(self._learner.weights())
        self._run.add_shard(self._shared.shard.status())
        if hang := hang_of(self._workers, self._step_timeout_s):
            raise RuntimeError(hang)

    def _next_batch(self) -> Batch | None:
        shared = self._shared
        with shared.changed:
            shared.changed.wait_for(lambda: shared.error or shared.shard.status().ready, timeout=_LOOK_EVERY_S)
            if shared.error:
                raise shared.error
            batch = shared.shard.next_batch(shared.updates_begun, shared.weights)
            if batch is None:
                return None
            shared.updates_begun += 1
            shared.changed.notify_all()
            return _copied(batch)

    def _publish(self, weights: Weights) -> None:
        with self._shared.changed:
            self._shared.weights = weights
            self._shared.changed.notify_all()

    def ask_for_state(self, deliver: Callable[[State], None]) -> None:
        """Deliver it at once: the collector goes on meanwhile."""
        deliver(self._learner.state_dict())

    def ask_for_checkpoint(self, deliver: Callable[[State], None]) -> None:
        """Deliver it when the replayed columns are on disk: the collector goes on meanwhile."""
        deliver(self.end())

    def end(self) -> State:
        """The state of learner and replay: no update is under way between two steps."""
        return self._learner.state_dict() | self._replay_state(self._shared.changed)

    rescue = end


def _copied(batch: Batch) -> Batch:
    """The batch in memory of its own: the collector goes on writing to the shard."""
    return batch._replace(steps=Trajectory(*(np.array(array) for array in batch.steps)))


def _collect_forever(workers: Sequence[Worker], shared: _Shared, throttle: Throttle, run: Run,
                     torch_threads: int) -> None:  # fmt: skip
    torch.set_num_threads(torch_threads)  # each thread of a process has its own number

    def may_collect() -> bool:
        return shared.closed or throttle.may_collect(
            columns_ahead=shared.shard.status().columns,
            updates_begun=shared.updates_begun,
            weight_version=shared.weights.version,
        )

    try:
        for worker in cycle(workers):
            with shared.changed:
                shared.changed.wait_for(may_collect)
                if shared.closed:
                    return
                weights = shared.weights
            unroll, info = worker.collect(weights)
            with shared.changed:
                if shared.closed:
                    return  # the run may have given this call up: its records are closed
                run.add_rollout(info)
                shared.shard.insert(unroll)
                shared.changed.notify_all()
    except BaseException as error:
        with shared.changed:
            shared.error = error
            shared.changed.notify_all()


def _leave(collector: threading.Thread, workers: Sequence[Worker], limit_s: float) -> None:
    """Wait until the collector has ended, or is in an environment call longer than `limit_s`: then say so and go on."""
    while collector.is_alive():
        collector.join(_LOOK_EVERY_S)
        if hang := hang_of(workers, limit_s):
            log.warning("%s; the run ends without it", hang)
            return
