"""The feeder: passes references from rollout actors to the replay shard to the learner, and weights back.

collect ─(info)─► feeder          No image passes through here: the feeder sees small records and references.
   └────(unroll reference)──► insert ─(status)─► feeder
                              next_batch ─(batch reference)─► update ─(info)─► feeder
                                                                 └──(weights reference)──► next collect
"""

import time
from collections.abc import Callable
from typing import Any, Protocol

import ray
from ray.exceptions import ObjectLostError, RayError

from rl_platform.core.types import RolloutInfo, ShardStatus, UpdateInfo
from rl_platform.runtime.calls import Calls
from rl_platform.runtime.ray_actors import reason
from rl_platform.runtime.rollout_group import RolloutGroup
from rl_platform.runtime.throttle import Throttle


class Listener(Protocol):
    """Who is told what happened."""

    def add_rollout(self, info: RolloutInfo) -> None: ...

    def add_shard(self, status: ShardStatus) -> None: ...

    def add_update(self, info: UpdateInfo) -> None: ...


class Feeder:
    """Keeps one learner and its rollout actors busy, within the throttle's limits.

    Args:
      batches_ahead: updates asked of the learner at once; beyond the first, their batches are assembled and fetched
        while it works.
      weights, version: the learner's present weights, and their version.

    Its methods raise RuntimeError when the learner or the replay actor failed; rollout actors may.
    """

    def __init__(self, *, rollouts: RolloutGroup, shard: Any, learner: Any, throttle: Throttle, batches_ahead: int,
                 weights: ray.ObjectRef, version: int, listener: Listener):  # fmt: skip
        self._rollouts, self._shard, self._learner = rollouts, shard, learner
        self._throttle, self._batches_ahead, self._listener = throttle, batches_ahead, listener
        self._weights, self._version = weights, version
        self._updates_begun = version
        self.updates_in_flight = 0
        self._inserts_in_flight = 0
        self._batches_taken = 0
        self._queued = 0
        self._recounting = False
        self._of_shard, self._of_learner = Calls(), Calls()

    def step(self, timeout_s: float) -> None:
        """Hand out work, wait for the next thing to finish (at most `timeout_s`), and deal with it."""
        if not self._recounting:
            self._ask_for_updates()
            self._ask_for_rollouts()
        for ref in self._wait(self._rollouts.pending(), timeout_s):
            self._on_rollout(ref)
        self._rollouts.replace_hanging()

    def ask_for_state(self, deliver: Callable[[dict[str, Any]], None]) -> None:
        """Have the learner's full state delivered between two updates, without stopping it."""
        self._of_learner.add(self._learner.state.remote(), lambda ref: deliver(_get(ref, "learner")))

    def finish_updates(self, limit_s: float) -> None:
        """Wait for the updates in flight, and begin no more; RuntimeError if that takes longer than `limit_s`."""
        give_up = time.monotonic() + limit_s
        while self._of_shard.oldest() or self._of_learner.oldest():
            if time.monotonic() >= give_up:
                raise RuntimeError(f"the updates in flight did not end within {limit_s:.0f} s")
            self._wait([], give_up - time.monotonic())

    def _wait(self, rollouts: list[ray.ObjectRef], timeout_s: float) -> list[ray.ObjectRef]:
        """Wait until something is done, and deal with it; an unroll that is done is returned instead."""
        shard, learner = self._of_shard.oldest(), self._of_learner.oldest()
        ready, _ = ray.wait([*shard, *learner, *rollouts], num_returns=1, timeout=timeout_s, fetch_local=False)
        if ready and ready == shard:
            self._of_shard.handle_oldest()
        elif ready and ready == learner:
            self._of_learner.handle_oldest()
        else:
            return ready
        return []

    def _ask_for_rollouts(self) -> None:
        for actor in self._rollouts.free():
            ahead = self._rollouts.in_flight + self._inserts_in_flight
            columns = self._queued + ahead * self._throttle.unroll_columns
            if not self._throttle.may_collect(columns_ahead=columns, updates_begun=self._updates_begun,
                                              weight_version=self._version):  # fmt: skip
                return
            self._rollouts.collect(actor, self._weights)

    def _ask_for_updates(self) -> None:
        while self._queued >= self._throttle.batch_columns and self.updates_in_flight < self._batches_ahead:
            batch = self._shard.next_batch.remote(self._updates_begun)
            info, weights = self._learner.update.remote(batch)
            self._of_learner.add(info, lambda ref, weights=weights: self._on_update(ref, weights))
            self._updates_begun += 1
            self.updates_in_flight += 1
            self._batches_taken += 1
            self._queued -= self._throttle.batch_columns

    def _on_rollout(self, ref: ray.ObjectRef) -> None:
        result = self._rollouts.receive(ref)
        if result is None:
            return
        info, unroll = result
        self._listener.add_rollout(info)
        self._inserts_in_flight += 1
        taken = self._batches_taken
        self._of_shard.add(self._shard.insert.remote(unroll), lambda ref: self._on_insert(ref, taken))

    def _on_insert(self, ref: ray.ObjectRef, batches_taken_before: int) -> None:
        self._inserts_in_flight -= 1
        try:
            status: ShardStatus = ray.get(ref)
        except ObjectLostError:
            self._rollouts.unrolls_lost += 1  # its node went away with the unroll
            return
        except RayError as error:
            raise _failure("replay actor", error) from error
        self._listener.add_shard(status)
        self._count(status, batches_taken_before)

    def _count(self, status: ShardStatus, batches_taken_before: int) -> None:
        taken_since = self._batches_taken - batches_taken_before
        self._queued = status.columns - taken_since * self._throttle.batch_columns

    def _recount(self) -> None:
        """Ask how much waits in the shard, and hand out no work before it is known."""
        self._recounting = True
        taken = self._batches_taken

        def on_status(ref: ray.ObjectRef) -> None:
            self._recounting = False
            self._count(_get(ref, "replay actor"), taken)

        self._of_shard.add(self._shard.status.remote(), on_status)

    def _on_update(self, ref: ray.ObjectRef, weights: ray.ObjectRef) -> None:
        self.updates_in_flight -= 1
        info: UpdateInfo | None = _get(ref, "learner")
        if info is None:  # too many of the batch's columns had gone stale: fewer wait than were counted
            self._updates_begun -= 1
            self._recount()
            return
        self._weights, self._version = weights, info.version
        self._listener.add_update(info)


def _get(ref: ray.ObjectRef, asked: str) -> Any:
    """What an actor answers."""
    try:
        return ray.get(ref)
    except RayError as error:
        raise _failure(asked, error) from error


def _failure(asked: str, error: RayError) -> RuntimeError:
    """Names the actor that failed: the one asked, or the replay actor, which alone gives others their arguments."""
    failed = "replay actor" if "input arguments" in str(error) else asked
    return RuntimeError(f"the {failed} failed: {reason(error)}")
