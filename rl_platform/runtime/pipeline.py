"""The pipeline of one learner rank: references from rollout actors to the shard to the learner, and weights back.

collect ─(info)─► pipeline        No image passes through here: the pipeline sees small records and references.
   └────(unroll reference)──► insert ─(status)─► pipeline
                              next_batch ─(batch reference)─► update ─(info)─► pipeline
                                                                 └──(weights reference)──► next collect
"""

import time
from collections import deque
from contextlib import suppress
from typing import Any, NamedTuple, Protocol

import ray
from ray.exceptions import ObjectLostError, RayError

from rl_platform.core.types import RolloutInfo, ShardStatus, UpdateInfo
from rl_platform.runtime.calls import Calls
from rl_platform.runtime.lockstep import Lockstep
from rl_platform.runtime.ray_actors import reason
from rl_platform.runtime.rollout_group import RolloutGroup
from rl_platform.runtime.throttle import Throttle


class Listener(Protocol):
    """Who is told what happened."""

    def add_rollout(self, info: RolloutInfo) -> None: ...

    def add_shard(self, status: ShardStatus) -> None: ...

    def add_update(self, info: UpdateInfo) -> None: ...

    def add_lost(self, env_steps: int) -> None:
        """An unroll with so many env steps was lost between its actor and the shard."""


class Stations(NamedTuple):
    """Where a pipeline leads, and the weights that it begins with."""

    shard: Any
    learner: Any
    weights: ray.ObjectRef
    version: int
    """Of these weights."""


class ShardError(Exception):
    """The replay actor died or raised; one line."""


class LearnerError(Exception):
    """The learner died, raised or does not answer; one line."""


class Pipeline:
    """Keeps one learner rank and its rollout actors busy, within the throttle's limits.

    When a station fails it is thrown away, with what was under way, and another is begun with the new one; rollout
    actors and what they are collecting remain.

    Args:
      batches_ahead: updates asked of the learner at once; beyond the first, their batches are assembled and fetched
        while it works.
      answer_timeout_s: a shard or learner that owes an answer for longer than this has failed.
      lockstep: what other ranks began.
    """

    def __init__(self, stations: Stations, rollouts: RolloutGroup, throttle: Throttle, listener: Listener, *,
                 batches_ahead: int, answer_timeout_s: float, lockstep: Lockstep):  # fmt: skip
        self._shard, self._learner, self._weights, self._version = stations
        self._rollouts, self._throttle, self._listener = rollouts, throttle, listener
        self._batches_ahead, self._answer_timeout_s = batches_ahead, answer_timeout_s
        self._lockstep = lockstep
        self.updates_begun = self._version
        self.updates_in_flight = 0
        self._inserting: deque[RolloutInfo] = deque()
        self._batches_taken = 0
        self._queued = 0
        self._halted = False
        self._of_shard, self._of_learner = Calls(), Calls()
        self._recount()

    @property
    def unrolls_in_flight(self) -> int:
        """Unrolls asked for that have not reached the shard yet."""
        return self._rollouts.in_flight + len(self._inserting)

    def step(self, timeout_s: float) -> None:
        """Hand out work, wait for the next thing to finish (at most `timeout_s`), and deal with it.

        Raises:
          ShardError, LearnerError: begin another pipeline.
          RuntimeError: a rollout actor failed too often.
        """
        if not self._recounting and not self._halted:
            self._ask_for_updates()
            self._ask_for_rollouts()
        for ref in self._wait(self._rollouts.pending(), self._lockstep.wait_s(timeout_s)):
            self._on_rollout(ref)
        self._rollouts.give_up_hanging()
        for calls, failure in ((self._of_shard, ShardError), (self._of_learner, LearnerError)):
            if calls.silent_s() > self._answer_timeout_s:
                raise failure(f"no answer for {self._answer_timeout_s:g} s")

    def halt(self) -> None:
        """Begin nothing more, not even with other ranks."""
        self._halted = True

    def finish_updates(self, last: int, limit_s: float) -> None:
        """Begin nothing more but, without batches, the updates up to `last`, and wait until all have ended.

        Raises:
          ShardError, LearnerError: one has failed, or this took longer than `limit_s`.
        """
        give_up = time.monotonic() + limit_s
        while self.updates_begun < last:
            self._ask_for_update(None)
        while self._of_shard.oldest() or self._of_learner.oldest():
            if time.monotonic() >= give_up:
                raise LearnerError(f"the updates in flight did not end within {limit_s:.0f} s")
            self._wait([], give_up - time.monotonic())

    def wind_up(self, limit_s: float) -> None:
        """After the shard failed: hear what it had answered, and wait for the updates that have their batch."""
        give_up = time.monotonic() + limit_s
        for calls in (self._of_shard, self._of_learner):
            while left := calls.oldest():
                if not ray.wait(left, timeout=max(0.0, give_up - time.monotonic()), fetch_local=False)[0]:
                    break
                with suppress(ShardError, LearnerError):
                    calls.handle_oldest()
        for info in self._inserting:
            self._lose(info)
        self._inserting.clear()

    def _wait(self, rollouts: list[ray.ObjectRef], timeout_s: float) -> list[ray.ObjectRef]:
        """Wait until something is done, and deal with it; an unroll that is done is returned instead."""
        shard, learner = self._of_shard.oldest(), self._of_learner.oldest()
        waited_for = [*shard, *learner, *rollouts]
        if not waited_for:
            time.sleep(min(timeout_s, 0.01))  # every rollout actor is being replaced: there is nothing to wait for
            return []
        ready, _ = ray.wait(waited_for, num_returns=1, timeout=timeout_s, fetch_local=False)
        if ready and ready == shard:
            self._of_shard.handle_oldest()
        elif ready and ready == learner:
            self._of_learner.handle_oldest()
        else:
            return ready
        return []

    def _ask_for_rollouts(self) -> None:
        for actor in self._rollouts.free():
            columns = self._queued + self.unrolls_in_flight * self._throttle.unroll_columns
            if not self._throttle.may_collect(columns_ahead=columns, updates_begun=self.updates_begun,
                                              weight_version=self._version):  # fmt: skip
                return
            self._rollouts.collect(actor, self._weights)

    def _ask_for_updates(self) -> None:
        while self.updates_in_flight < self._batches_ahead:
            if self._queued >= self._throttle.batch_columns:
                self._lockstep.has_batch()
                self._ask_for_update(self._shard.next_batch.remote(self.updates_begun))
                self._batches_taken += 1
                self._queued -= self._throttle.batch_columns
            elif self._lockstep.must_join(self.updates_begun):
                self._ask_for_update(None)
            else:
                return

    def _ask_for_update(self, batch: ray.ObjectRef | None) -> None:
        info, weights = self._learner.update.remote(batch)
        self._of_learner.add(info, lambda ref: self._on_update(ref, weights, promised=batch is not None))
        self.updates_begun += 1
        self.updates_in_flight += 1
        self._lockstep.began(self.updates_begun)

    def _on_rollout(self, ref: ray.ObjectRef) -> None:
        result = self._rollouts.receive(ref)
        if result is None:
            return
        info, unroll = result
        self._listener.add_rollout(info)
        self._inserting.append(info)
        taken = self._batches_taken
        self._of_shard.add(self._shard.insert.remote(unroll), lambda ref: self._on_insert(ref, taken))

    def _on_insert(self, ref: ray.ObjectRef, batches_taken_before: int) -> None:
        info = self._inserting.popleft()
        try:
            status: ShardStatus = ray.get(ref)
        except RayError as error:
            self._lose(info)
            if isinstance(error, ObjectLostError):  # a node went away with the unroll; the shard is well
                return
            raise ShardError(reason(error)) from error
        self._on_status(status, batches_taken_before)

    def _lose(self, info: RolloutInfo) -> None:
        """An unroll was lost on its way to the shard."""
        self._rollouts.unrolls_lost += 1
        self._listener.add_lost(info.env_steps)

    def _on_status(self, status: ShardStatus, batches_taken_before: int) -> None:
        self._listener.add_shard(status)
        taken_since = self._batches_taken - batches_taken_before
        self._queued = status.columns - taken_since * self._throttle.batch_columns

    def _recount(self) -> None:
        """Ask how much waits in the shard, and hand out no work before it is known."""
        self._recounting = True
        taken = self._batches_taken

        def on_status(ref: ray.ObjectRef) -> None:
            self._recounting = False
            self._on_status(_from_shard(ref), taken)

        self._of_shard.add(self._shard.status.remote(), on_status)

    def _on_update(self, ref: ray.ObjectRef, weights: ray.ObjectRef, promised: bool) -> None:
        """`promised` a batch: if too many of its columns had gone stale, fewer wait than were counted."""
        self.updates_in_flight -= 1
        info = _from_learner(ref)
        if promised and (info is None or not info.had_batch):
            self._recount()
        if info is None:
            self.updates_begun -= 1
            return
        self._weights, self._version = weights, info.version
        self.updates_begun = info.version + self.updates_in_flight
        self._listener.add_update(info)


def _from_shard(ref: ray.ObjectRef) -> ShardStatus:
    try:
        return ray.get(ref)
    except RayError as error:
        raise ShardError(reason(error)) from error


def _from_learner(ref: ray.ObjectRef) -> UpdateInfo | None:
    """What the learner says of an update; it was never begun if its batch is lost, which is the shard's failure."""
    try:
        return ray.get(ref)
    except RayError as error:
        failure = ShardError if "input arguments" in str(error) else LearnerError
        raise failure(reason(error)) from error
