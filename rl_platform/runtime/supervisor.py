"""The supervisor: owns every actor of a run over Ray, hears what its feeders report, and replaces what fails.

rollout actor   at once, while the others go on
feeder          its rollout actors, shard and learner go on under a new one
replay actor    another takes its place, its replay sources as last saved; what waited in the old one is lost
learner         the whole generation begins anew from the last snapshot; what came after it is lost
"""

import math
from collections.abc import Callable
from typing import Any

import ray
from ray.exceptions import RayError

from configs.schema import Config
from rl_platform.core.types import LearnerProgress
from rl_platform.runtime.actor_factory import ActorFactory
from rl_platform.runtime.checkpoint import State
from rl_platform.runtime.feeder import Failure, FeederOrders, FeederReport
from rl_platform.runtime.feeder_client import FeederError
from rl_platform.runtime.learner_group import LearnerGroup, last_state
from rl_platform.runtime.pipeline import Endpoints
from rl_platform.runtime.rank import Rank, env_steps_at_shards
from rl_platform.runtime.ray_actors import reason
from rl_platform.runtime.replay_states import of_rank
from rl_platform.runtime.rollout_group import LostActor, NewActor
from rl_platform.runtime.run import Run, log
from rl_platform.runtime.snapshots import ReplaySnapshots, Snapshots
from rl_platform.runtime.starting import started

_FINISH_S = 60.0
"""How long the updates in flight, and the learner's last state, may take at the end of a run."""
_RESCUE_S = 10.0
"""How long the learner of a failed run may take to hand over its state."""
_MARGIN_S = 10.0
"""What a learner may take to answer beyond the time that the other ranks may keep it waiting."""
_START_S = 180.0
"""How long a replay actor or learner that replaces another may take to start."""
_UNHEARD = 1_000
"""More updates than a feeder can have begun between its last report and its death."""


class Supervisor:
    """A `Training` over Ray.

    Args:
      learner_group: the first learners, started.
      restored: what they went on from.
    """

    def __init__(
        self, config: Config, factory: ActorFactory, learner_group: LearnerGroup, run: Run, restored: State | None
    ):
        self._config, self._factory, self._run = config, factory, run
        self._learner_group = learner_group
        self._began_at = learner_group.begun_at().env_steps
        self._snapshots = Snapshots(restored, every_s=config.run.snapshot_every_s)
        self._failures_in_a_row = 0
        self._newest_version = learner_group.begun_at().version
        """No update of a higher one was ever asked for."""
        self._lost_on_the_way = 0
        count = config.cluster.num_learners
        self._replay = ReplaySnapshots({rank: of_rank(restored, rank) for rank in range(count)})
        self.evaluator = factory.evaluator()
        self._ranks = [Rank(rank, factory.shard(rank), factory.feeder(rank)) for rank in range(count)]
        for actor in range(config.actors.count):
            self._add_actor(self._ranks[actor % count], actor, run.first_incarnation)
        self._connect_feeders()

    def started(self) -> bool:
        """Wait until training can begin; False if the run was asked to stop before that."""
        if not all(self._shard_started(rank) for rank in self._ranks):
            return False
        for rank in self._ranks:
            self._start_pipeline(rank)
        return True

    # A turn.

    def step(self) -> None:
        """Let every feeder take a turn, and deal with what they report."""
        self._take_turns()
        self._snapshots.tick(self._learner_group.learners[0])
        self._replay.tick()
        self._recover()

    def _take_turns(self, *, halt: bool = False) -> None:
        for rank in self._ranks:
            rank.orders.halt = halt
            rank.feeder.begin(rank.take_orders())
        for rank in self._ranks:
            self._receive_report(rank)

    def _receive_report(self, rank: Rank) -> None:
        try:
            report = rank.feeder.report()
        except FeederError as failed:
            rank.feeder_failure = str(failed)
            return
        self._note(rank, report)
        for lost in report.lost_actors:
            self._replace_actor(rank, lost)

    def _note(self, rank: Rank, report: FeederReport) -> None:
        """Pass on what happened. Of an update all ranks say the same, but each dropped columns of its own."""
        rank.last, rank.failure = report, report.failure or rank.failure
        for info in report.rollouts:
            self._run.add_rollout(info)
        for info in report.updates:
            if rank.index == 0:
                self._run.add_update(info)
            else:
                self._run.add_failures(columns_dropped=info.columns_dropped)
        if report.updates:
            self._failures_in_a_row = 0
        self._newest_version = max(self._newest_version, report.updates_begun)
        self._lost_on_the_way += report.env_steps_lost
        if report.shard is not None:
            rank.arrived = report.shard.arrived
            self._run.add_shard(report.shard)
        self._run.add_failures(unrolls_lost=report.unrolls_lost)

    # Mending.

    def _replace_actor(self, rank: Rank, lost: LostActor) -> None:
        log.warning("rollout actor %d (incarnation %d) replaced: %s", *lost)
        self._run.add_failures(actors_restarted=1)
        self._add_actor(rank, lost.actor, lost.incarnation + 1)

    def _add_actor(self, rank: Rank, actor: int, incarnation: int) -> None:
        rank.add(NewActor(actor, incarnation, self._factory.rollout_actor(actor, incarnation)))

    def _recover(self) -> None:
        """Replace what failed; the learners last, when there are feeders and shards to lead to them."""
        for rank in self._ranks:
            if rank.feeder_failure is not None:
                self._replace_feeder(rank, rank.feeder_failure)
            if rank.failure is not None and rank.failure.station == "shard":
                self._replace_shard(rank, rank.failure.reason)
        failed = [f"learner {rank.index}: {rank.failure.reason}" for rank in self._ranks if rank.failure is not None]
        if failed:
            self._replace_generation(failed[0])

    def _replace_feeder(self, rank: Rank, why: str) -> None:
        self._count_failure(f"feeder {rank.index} replaced: {why}")
        self._run.add_failures(unrolls_lost=rank.last.unrolls_in_flight)
        self._newest_version += _UNHEARD
        rank.feeder_failure = None
        rank.feeder.close()
        rank.feeder = self._factory.feeder(rank.index)
        rank.orders = FeederOrders(new_actors=list(rank.members.values()))
        self._connect_feeders()
        self._start_pipeline(rank)

    def _replace_shard(self, rank: Rank, why: str) -> None:
        self._count_failure(f"replay actor {rank.index} replaced: {why}")
        rank.failure = None
        ray.kill(rank.shard)
        rank.arrived_before, rank.arrived = rank.arrived_before + rank.arrived, 0
        rank.shard = self._factory.shard(rank.index)
        try:
            if self._shard_started(rank, limit_s=_START_S):
                self._start_pipeline(rank)
                self._count_lost()
        except RuntimeError as error:  # it was lost again, and is replaced in the next step
            rank.failure = Failure("shard", str(error))

    def _replace_generation(self, why: str) -> None:
        """Begin all learners anew, from the last snapshot, with versions that no weights ever had."""
        self._count_failure(f"{why}; all learners begin anew from the last snapshot")
        self._learner_group.kill()
        self._snapshots.forget_asked()
        self._newest_version += 1
        self._learner_group = self._factory.learner_group(self._snapshots.newest, self._newest_version)
        try:
            if not self._learner_group.started(self._run.stop, limit_s=_START_S):
                return
        except RuntimeError as error:  # one was lost again: they begin anew in the next step
            self._ranks[0].failure = Failure("learner", str(error))
            return
        self._fall_back(self._learner_group.begun_at())
        for rank in self._ranks:
            rank.failure = None
            self._start_pipeline(rank)
        self._count_lost()

    def _fall_back(self, progress: LearnerProgress) -> None:
        self._run.fall_back(env_steps=progress.env_steps, updates=progress.updates)

    def _count_failure(self, line: str) -> None:
        """Say it; RuntimeError if there were too many without an update between."""
        self._failures_in_a_row += 1
        if self._failures_in_a_row > self._config.actors.max_restarts_in_a_row:
            raise RuntimeError(
                f"{self._failures_in_a_row} failures in a row without an update between; the last: {line}"
            )
        log.warning("%s", line)
        self._run.add_failures(actors_restarted=1)

    # Introducing actors to each other.

    def _shard_started(self, rank: Rank, limit_s: float = math.inf) -> bool:
        """Wait until its replay sources are as last saved; False if the run was asked to stop before that."""
        restored = rank.shard.restore.remote(self._replay.newest[rank.index])
        if not started("replay actor", restored, self._run.stop, limit_s=limit_s):
            return False
        for line in ray.get(restored):
            log.info("replay actor %d: %s", rank.index, line)
        return True

    def _connect_feeders(self) -> None:
        """Tell each feeder who the others are."""
        for rank in self._ranks:
            rank.orders.others = [other.feeder.handle for other in self._ranks if other is not rank]

    def _start_pipeline(self, rank: Rank) -> None:
        """Have the rank's feeder begin a pipeline to its present shard and learner."""
        learner = self._learner_group.learners[rank.index]
        try:
            version = self._progress(rank).version
        except RayError as error:
            rank.failure = Failure("learner", reason(error))
            return
        rank.orders.endpoints = Endpoints(rank.shard, learner, learner.weights.remote(), version)
        rank.orders.others_begun = max((r.last.updates_begun for r in self._ranks if r is not rank), default=0)

    def _progress(self, rank: Rank) -> LearnerProgress:
        limit_s = self._config.cluster.collective_timeout_s + _MARGIN_S
        return ray.get(self._learner_group.learners[rank.index].progress.remote(), timeout=limit_s)

    # The end.

    def ask_for_state(self, deliver: Callable[[State], None]) -> None:
        """Have the next snapshot delivered."""
        self._snapshots.ask(deliver)

    def ask_for_checkpoint(self, deliver: Callable[[State], None]) -> None:
        """Have the next snapshot delivered with that of the replay sources, or soon with the newest known."""
        take_learner = self._replay.ask(self._replaying(), self._run.segments_needed(), deliver)
        if take_learner is not None:
            self.ask_for_state(take_learner)

    def _replaying(self) -> dict[int, Any]:
        """The replay actors that have replay sources, by rank."""
        return {rank.index: rank.shard for rank in self._ranks if len(self._config.replay.sources) > 1}

    def _with_replay(self, state: State | None) -> State | None:
        if state is None:
            return None
        return state | self._replay.now(self._replaying(), self._run.segments_needed())

    def end(self) -> State | None:
        """Finish the updates under way, say where every env step went; returns the last state.

        With the last snapshot, if the learners were beginning anew when the run was asked to stop, or are lost now.
        """
        return self._with_replay(self._learner_end())

    def _learner_end(self) -> State | None:
        try:
            if not self._learner_group.started(self._run.stop):
                return self._settled(self._snapshots.newest)
            self._finish_updates()
            state = last_state(self._learner_group.learners[0], _FINISH_S)
        except RuntimeError as error:
            log.error("the run ends with the last snapshot: %s", error)
            return self._settled(self._snapshots.newest)
        self._settled(state)
        if (found := self._count_lost()) is not None:
            self._run.account(*found, self._lost_on_the_way)
        return state

    def _finish_updates(self) -> None:
        """End together: each update that one rank has begun needs the others."""
        if len(self._ranks) > 1:
            self._take_turns(halt=True)
        last = max(rank.last.updates_begun for rank in self._ranks)
        for rank in self._ranks:
            rank.feeder.begin_finish(last, _FINISH_S)
        for rank in self._ranks:
            self._receive_report(rank)
            if failed := rank.feeder_failure or rank.failure:
                log.warning("rank %d is lost at the end of the run: %s", rank.index, failed)

    def _settled(self, state: State | None) -> State | None:
        """`state`, which the run's counters agree with from here on."""
        if state is not None and state["env_steps"] != self._run.env_steps:
            self._fall_back(LearnerProgress(self._newest_version, state["updates"], state["env_steps"]))
        return state

    def _count_lost(self) -> tuple[int, int] | None:
        """Count what reached a shard, waits in none, and was not committed: exact while no update is under way.

        Returns the env steps that arrived and those that wait. None after another failure: it is counted when that
        has been dealt with.
        """
        try:
            arrived, waiting = env_steps_at_shards(self._ranks)
            committed = self._progress(self._ranks[0]).env_steps - self._began_at
        except RayError as error:
            log.warning("env steps lost are not known now: %s", reason(error))
            return None
        self._run.set_env_steps_lost(arrived - waiting - committed)
        return arrived, waiting

    def rescue(self) -> State | None:
        """The learner's present state if it still answers, else the last snapshot; and that of the replay sources."""
        try:
            state = last_state(self._learner_group.learners[0], _RESCUE_S)
        except RuntimeError as error:
            log.error("what was learned since the last snapshot is lost: %s", error)
            state = self._snapshots.newest
        return self._with_replay(self._settled(state))

    def close(self) -> None:
        """End every actor."""
        for rank in self._ranks:
            rank.feeder.close()
            for actor in (rank.shard, *(new.handle for new in rank.members.values())):
                ray.kill(actor)
        self._learner_group.kill()
