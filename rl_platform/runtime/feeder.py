"""The feeder of one learner rank: takes orders, keeps the rank's pipeline going, reports what happened.

It creates no actor: those that it is given belong to the supervisor, so its death takes nobody's life.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from rl_platform.core.types import RolloutInfo, ShardStatus, UpdateInfo
from rl_platform.runtime.lockstep import Lockstep
from rl_platform.runtime.pipeline import Endpoints, LearnerError, Pipeline, ShardError
from rl_platform.runtime.rollout_group import LostActor, NewActor, RolloutGroup
from rl_platform.runtime.throttle import Throttle

_WAIT_S = 0.5
"""Longest wait for the next thing to happen."""
_DRAIN_S = 5.0
"""How long the updates under way may take when the shard has failed."""


class FeederSettings(NamedTuple):
    """What a feeder is built with; meanings are those of the parts."""

    throttle: Throttle
    scores: bool
    batches_vary: bool
    batches_ahead: int
    answer_timeout_s: float
    patience_s: float
    unrolls_in_flight: int
    step_timeout_s: float
    max_restarts_in_a_row: int


@dataclass
class FeederOrders:
    """What a feeder is to know before its next turn."""

    new_actors: list[NewActor] = field(default_factory=list)
    endpoints: Endpoints | None = None
    """Begin a pipeline there; None: go on with the present one."""
    others: Sequence[Any] | None = None
    """The feeders of the other ranks; None: as before."""
    others_begun: int = 0
    """Updates that another rank is known to have begun."""
    halt: bool = False
    """Begin nothing more: the run ends."""


class Failure(NamedTuple):
    """A station that failed: the pipeline that led there is gone."""

    station: Literal["shard", "learner"]
    reason: str


@dataclass
class FeederReport:
    """What happened in one turn."""

    rollouts: list[RolloutInfo] = field(default_factory=list)
    updates: list[UpdateInfo] = field(default_factory=list)
    shard: ShardStatus | None = None
    """The newest."""
    lost_actors: list[LostActor] = field(default_factory=list)
    unrolls_lost: int = 0
    env_steps_lost: int = 0
    """Valid transitions that their actor reported and that never reached the shard."""
    failure: Failure | None = None
    updates_begun: int = 0
    """The version that the newest update asked for will have."""
    unrolls_in_flight: int = 0


class Feeder:
    """Runs in the driver, or in an actor beside its learner."""

    def __init__(self, settings: FeederSettings):
        self._settings = settings
        self._rollouts = RolloutGroup(
            unrolls_in_flight=settings.unrolls_in_flight,
            step_timeout_s=settings.step_timeout_s,
            max_restarts_in_a_row=settings.max_restarts_in_a_row,
        )
        self._lockstep = Lockstep(patience_s=settings.patience_s)
        self._pipeline: Pipeline | None = None
        self._report = FeederReport()

    def turn(self, orders: FeederOrders, for_s: float) -> FeederReport:
        """Take orders, then go on for `for_s`, or until somebody must be replaced; 0: until something happened.

        Raises:
          RuntimeError: a rollout actor failed too often.
        """
        self._take(orders)
        until = time.monotonic() + for_s
        while self._pipeline is not None:
            self._step(self._pipeline)
            self._report.lost_actors += self._rollouts.take_lost()
            if time.monotonic() >= until or self._report.lost_actors:
                break
        return self._reported()

    def finish(self, last_update: int, limit_s: float) -> FeederReport:
        """Take part in the updates up to `last_update`, begin nothing else, wait at most `limit_s` for their end."""
        if self._pipeline is not None:
            try:
                self._pipeline.finish_updates(last_update, limit_s)
            except (ShardError, LearnerError) as failed:
                self._fail(failed)
        return self._reported()

    def hear(self, updates_begun: int) -> None:
        """Another rank has begun so many updates. May be called from another thread."""
        self._lockstep.heard(updates_begun)

    def add_rollout(self, info: RolloutInfo) -> None:
        """An unroll was collected."""
        self._report.rollouts.append(info)

    def add_update(self, info: UpdateInfo) -> None:
        """An update was done."""
        self._report.updates.append(info)

    def add_shard(self, status: ShardStatus) -> None:
        """The shard told its fill."""
        self._report.shard = status

    def add_lost(self, env_steps: int) -> None:
        """An unroll was lost on its way to the shard."""
        self._report.env_steps_lost += env_steps

    def _take(self, orders: FeederOrders) -> None:
        for new in orders.new_actors:
            self._rollouts.add(new)
        if orders.others is not None:
            self._lockstep.meet(orders.others)
        self._lockstep.heard(orders.others_begun)
        if orders.endpoints is not None:
            if self._pipeline is not None:
                self._pipeline.flush()
            self._pipeline = Pipeline(
                orders.endpoints,
                self._rollouts,
                self._settings.throttle,
                self,
                scores=self._settings.scores,
                batches_vary=self._settings.batches_vary,
                batches_ahead=self._settings.batches_ahead,
                answer_timeout_s=self._settings.answer_timeout_s,
                lockstep=self._lockstep,
            )
        if orders.halt and self._pipeline is not None:
            self._pipeline.halt()

    def _step(self, pipeline: Pipeline) -> None:
        try:
            pipeline.step(_WAIT_S)
        except (ShardError, LearnerError) as failed:
            self._fail(failed)

    def _fail(self, failed: ShardError | LearnerError) -> None:
        if isinstance(failed, ShardError):
            self._pipeline.drain(_DRAIN_S)
            self._report.failure = Failure("shard", str(failed))
        else:
            self._pipeline.flush()
            self._report.failure = Failure("learner", str(failed))
        self._report.updates_begun = self._pipeline.updates_begun
        self._pipeline = None

    def _reported(self) -> FeederReport:
        report, self._report = self._report, FeederReport()
        report.unrolls_lost, self._rollouts.unrolls_lost = self._rollouts.unrolls_lost, 0
        if self._pipeline is not None:
            report.updates_begun = self._pipeline.updates_begun
            report.unrolls_in_flight = self._pipeline.unrolls_in_flight
        return report
