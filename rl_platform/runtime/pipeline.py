"""The pipeline of one learner rank: references from rollout actors to the shard to the learner, and weights back.

collect ─(info)─► pipeline        No image passes through here: the pipeline sees small records and references.
   └────(unroll reference)──► exchange ─(status)─► pipeline
                                 └──(batch reference)──► update ─(info)─► pipeline
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


class _Exchange(NamedTuple):
    """One call of the shard: unrolls in, and a batch out or not."""

    infos: tuple[RolloutInfo, ...]
    unrolls: tuple[ray.ObjectRef, ...]
    takes: bool
    """It asks for a batch."""
    growth: int
    """Columns that it adds to the queue, at most."""


class Endpoints(NamedTuple):
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
      scores: whether the shard compares candidates under the newest weights.
      batches_vary: whether batches take more of the queue at times: then no other is asked for before it is known how
        many a batch took.
      batches_ahead: updates asked of the learner at once; beyond the first, their batches are assembled and fetched
        while it works.
      answer_timeout_s: a shard or learner that owes an answer for longer than this has failed.
      lockstep: what other ranks began.
    """

    def __init__(self, endpoints: Endpoints, rollouts: RolloutGroup, throttle: Throttle, listener: Listener, *,
                 batches_ahead: int, answer_timeout_s: float, lockstep: Lockstep, scores: bool = False,
                 batches_vary: bool = False):  # fmt: skip
        self._shard, self._learner, self._weights, self._version = endpoints
        self._rollouts, self._throttle, self._listener = rollouts, throttle, listener
        self._batches_ahead, self._answer_timeout_s = batches_ahead, answer_timeout_s
        self._lockstep, self._scores, self._batches_vary = lockstep, scores, batches_vary
        self.updates_begun = self._version
        self.updates_in_flight = 0
        self._held: list[tuple[RolloutInfo, ray.ObjectRef]] = []
        self._exchanging: deque[_Exchange] = deque()
        self._queued = 0
        self._batch_columns = throttle.batch_columns
        self._halted = False
        self._of_shard, self._of_learner = Calls(), Calls()
        self._recount()

    @property
    def unrolls_in_flight(self) -> int:
        """Unrolls asked for that have not reached the shard yet."""
        return self._rollouts.in_flight + len(self._held) + sum(len(e.infos) for e in self._exchanging)

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
        self.flush()
        while self.updates_begun < last:
            self._ask_for_update(None)
        while self._of_shard.oldest() or self._of_learner.oldest():
            if time.monotonic() >= give_up:
                raise LearnerError(f"the updates in flight did not end within {limit_s:.0f} s")
            self._wait([], _until(give_up))

    def flush(self) -> None:
        """Give the unrolls that wait here to the shard: they belong there, whoever leads on from it."""
        if self._held:
            self._exchange(None)

    def drain(self, limit_s: float) -> None:
        """After the shard failed: hear what it had answered, and wait for the updates that have their batch."""
        give_up = time.monotonic() + limit_s
        for calls in (self._of_shard, self._of_learner):
            while left := calls.oldest():
                if not ray.wait(left, timeout=_until(give_up), fetch_local=False)[0]:
                    break
                with suppress(ShardError, LearnerError):
                    calls.handle_oldest()
        for info in (*(info for e in self._exchanging for info in e.infos), *(info for info, _ in self._held)):
            self._lose(info)
        self._exchanging.clear()
        self._held.clear()

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
            on_the_way = self._rollouts.in_flight + len(self._held)
            columns = self._queued + on_the_way * self._throttle.unroll_columns
            if not self._throttle.may_collect(columns_ahead=columns, updates_begun=self.updates_begun,
                                              weight_version=self._version):  # fmt: skip
                return
            self._rollouts.collect(actor, self._weights)

    def _ask_for_updates(self) -> None:
        while self.updates_in_flight < self._batches_ahead:
            if self._queued + self._held_columns >= self._batch_columns and not self._taking_unknown():
                self._lockstep.has_batch()
                self._ask_for_update(self._exchange(self.updates_begun))
            elif self._lockstep.must_join(self.updates_begun):
                self._ask_for_update(None)
            else:
                return
        if self._held_columns >= self._batch_columns:  # the learner is behind: the shard's limits are what counts
            self.flush()

    def _taking_unknown(self) -> bool:
        return self._batches_vary and any(exchange.takes for exchange in self._exchanging)

    @property
    def _held_columns(self) -> int:
        return len(self._held) * self._throttle.unroll_columns

    def _exchange(self, version: int | None) -> ray.ObjectRef:
        """Hand the unrolls held over to the shard, and ask for a batch for that version of the learner unless None."""
        held, self._held = self._held, []
        return self._send(tuple(info for info, _ in held), tuple(unroll for _, unroll in held), version)

    def _send(self, infos: tuple[RolloutInfo, ...], unrolls: tuple[ray.ObjectRef, ...],
              version: int | None) -> ray.ObjectRef:  # fmt: skip
        weights = self._weights if self._scores and version is not None else None
        status, batch = self._shard.exchange.remote(version, weights, *unrolls)
        taken = 0 if version is None else self._throttle.batch_columns
        growth = len(unrolls) * self._throttle.unroll_columns - taken
        exchange = _Exchange(infos, unrolls, version is not None, growth)
        self._exchanging.append(exchange)
        self._queued += exchange.growth
        self._of_shard.add(status, self._on_exchange)
        return batch

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
        self._held.append((info, unroll))

    def _on_exchange(self, ref: ray.ObjectRef) -> None:
        exchange = self._exchanging.popleft()
        try:
            status: ShardStatus = ray.get(ref)
        except RayError as error:
            self._on_failed_exchange(exchange, error)
        else:
            self._on_status(status)

    def _on_failed_exchange(self, exchange: _Exchange, error: RayError) -> None:
        """If a node went away with an unroll, the call was never made, and the shard is well."""
        if len(exchange.infos) > 1 and isinstance(error, ObjectLostError):
            for info, unroll in zip(exchange.infos, exchange.unrolls, strict=True):
                self._send((info,), (unroll,), None)
        else:
            for info in exchange.infos:
                self._lose(info)
        if not isinstance(error, ObjectLostError):
            raise ShardError(reason(error)) from error
        self._recount()

    def _lose(self, info: RolloutInfo) -> None:
        """An unroll was lost on its way to the shard."""
        self._rollouts.unrolls_lost += 1
        self._listener.add_lost(info.env_steps)

    def _on_status(self, status: ShardStatus) -> None:
        self._listener.add_shard(status)
        self._batch_columns = status.batch_columns
        self._queued = status.columns + sum(exchange.growth for exchange in self._exchanging)

    def _recount(self) -> None:
        """Ask how much waits in the shard, and hand out no work before it is known."""
        self._recounting = True

        def on_status(ref: ray.ObjectRef) -> None:
            self._recounting = False
            self._on_status(_from_shard(ref))

        self._of_shard.add(self._shard.status.remote(), on_status)

    def _on_update(self, ref: ray.ObjectRef, weights: ray.ObjectRef, promised: bool) -> None:
        """`promised` a batch: if it was lost, or too many columns had gone stale, fewer wait than were counted."""
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
    """What the learner says of an update; None if it was never begun, because its batch is lost."""
    try:
        return ray.get(ref)
    except RayError as error:
        if "input arguments" in str(error):
            return None
        raise LearnerError(reason(error)) from error


def _until(deadline: float) -> float:
    """Seconds to wait; 0 if it is past, which a wait begun just before it may find."""
    return max(0.0, deadline - time.monotonic())
