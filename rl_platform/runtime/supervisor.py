"""The supervisor: owns every actor of a run over Ray, hears what its feeders report, and replaces what fails.

rollout actor   at once, while the others go on
feeder          its rollout actors, shard and learner go on under a new one
replay actor    an empty one takes its place; what waited in the old one is lost
learner         the whole generation begins anew from the last snapshot; what came after it is lost
"""

from collections.abc import Callable
from typing import Any

import ray
from ray.exceptions import RayError

from configs.schema import Config
from rl_platform.core.types import Progress, ShardStatus
from rl_platform.runtime.checkpoint import State
from rl_platform.runtime.crew import Crew
from rl_platform.runtime.desk import Desk, FeederError
from rl_platform.runtime.feeder import Failure, Orders, Report
from rl_platform.runtime.generation import Generation, last_state
from rl_platform.runtime.pipeline import Stations
from rl_platform.runtime.ray_actors import reason
from rl_platform.runtime.rollout_group import Hire, Vacancy
from rl_platform.runtime.run import Run, log
from rl_platform.runtime.snapshots import Snapshots
from rl_platform.runtime.starting import started

_FINISH_S = 60.0
"""How long the updates in flight, and the learner's last state, may take at the end of a run."""
_MARGIN_S = 10.0
"""What a learner may take to answer beyond the time that the other ranks may keep it waiting."""
_UNHEARD = 1_000
"""More updates than a feeder can have begun between its last report and its death."""


class _Rank:
    """One learner rank: its feeder, its shard, its rollout actors, and the orders that wait for its next turn."""

    def __init__(self, index: int, shard: Any, desk: Desk):
        self.index = index
        self.shard, self.desk = shard, desk
        self.members: dict[int, Hire] = {}
        self.orders = Orders()
        self.last = Report()
        self.feeder_failure: str | None = None
        self.failure: Failure | None = None
        self.arrived = 0
        """Env steps that reached the present shard, as last heard."""
        self.arrived_before = 0
        """Env steps that reached shards that are no more."""

    def hire(self, hire: Hire) -> None:
        """Have a rollout actor join the feeder."""
        self.members[hire.actor] = hire
        self.orders.hires.append(hire)

    def take_orders(self) -> Orders:
        """What waits for the next turn."""
        orders, self.orders = self.orders, Orders()
        return orders


class Supervisor:
    """A `Training` over Ray.

    Args:
      generation: the first learners, started.
      restored: what they went on from.
    """

    def __init__(self, config: Config, crew: Crew, generation: Generation, run: Run, restored: State | None):
        self._config, self._crew, self._run = config, crew, run
        self._generation = generation
        self._began_at = generation.begun_at().env_steps
        self._snapshots = Snapshots(restored, every_s=config.run.snapshot_every_s)
        self._failures_in_a_row = 0
        self._unheard = 0
        count = config.cluster.num_learners
        self.evaluator = crew.evaluator()
        self._ranks = [_Rank(rank, crew.shard(rank), crew.desk(rank)) for rank in range(count)]
        for actor in range(config.actors.count):
            self._hire(self._ranks[actor % count], actor, run.first_incarnation)
        self._introduce()

    def started(self) -> bool:
        """Wait until training can begin; False if the run was asked to stop before that."""
        if not all(self._shard_started(rank) for rank in self._ranks):
            return False
        for rank in self._ranks:
            self._lead(rank)
        return True

    # A turn.

    def step(self) -> None:
        """Let every feeder take a turn, and deal with what they report."""
        for rank in self._ranks:
            rank.desk.begin(rank.take_orders())
        for rank in self._ranks:
            self._hear(rank)
        self._snapshots.tick(self._generation.learners[0])
        self._mend()

    def _hear(self, rank: _Rank) -> None:
        try:
            report = rank.desk.report()
        except FeederError as failed:
            rank.feeder_failure = str(failed)
            return
        self._note(rank, report)
        for vacancy in report.vacancies:
            self._fill(rank, vacancy)

    def _note(self, rank: _Rank, report: Report) -> None:
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
        if report.shard is not None:
            rank.arrived = report.shard.arrived
            self._run.add_shard(report.shard)
        self._run.add_failures(unrolls_lost=report.unrolls_lost)

    # Mending.

    def _fill(self, rank: _Rank, vacancy: Vacancy) -> None:
        log.warning("rollout actor %d (incarnation %d) replaced: %s", *vacancy)
        self._run.add_failures(actors_restarted=1)
        self._hire(rank, vacancy.actor, vacancy.incarnation + 1)

    def _hire(self, rank: _Rank, actor: int, incarnation: int) -> None:
        rank.hire(Hire(actor, incarnation, self._crew.rollout_actor(actor, incarnation)))

    def _mend(self) -> None:
        """Replace what failed; the learners last, when there are feeders and shards to lead to them."""
        for rank in self._ranks:
            if rank.feeder_failure is not None:
                self._replace_feeder(rank, rank.feeder_failure)
            if rank.failure is not None and rank.failure.station == "shard":
                self._replace_shard(rank, rank.failure.reason)
        failed = [f"learner {rank.index}: {rank.failure.reason}" for rank in self._ranks if rank.failure is not None]
        if failed:
            self._replace_generation(failed[0])

    def _replace_feeder(self, rank: _Rank, why: str) -> None:
        self._count_failure(f"feeder {rank.index} replaced: {why}")
        self._run.add_failures(unrolls_lost=rank.last.unrolls_in_flight)
        self._unheard = _UNHEARD
        rank.feeder_failure = None
        rank.desk.close()
        rank.desk = self._crew.desk(rank.index)
        rank.orders = Orders(hires=list(rank.members.values()))
        self._introduce()
        self._lead(rank)

    def _replace_shard(self, rank: _Rank, why: str) -> None:
        self._count_failure(f"replay actor {rank.index} replaced: {why}")
        rank.failure = None
        ray.kill(rank.shard)
        rank.arrived_before, rank.arrived = rank.arrived_before + rank.arrived, 0
        rank.shard = self._crew.shard(rank.index)
        if self._shard_started(rank):
            self._lead(rank)
            self._count_lost()

    def _replace_generation(self, why: str) -> None:
        """Begin all learners anew, from the last snapshot, with versions that no weights ever had."""
        self._count_failure(f"{why}; all learners begin anew from the last snapshot")
        self._generation.kill()
        self._snapshots.forget_asked()
        version = 1 + max(rank.last.updates_begun for rank in self._ranks) + self._unheard
        self._unheard = 0
        self._generation = self._crew.generation(self._snapshots.newest, version)
        try:
            if not self._generation.started(self._run.stop):
                return
        except RuntimeError as error:  # one was lost again: they are begun anew in the next step
            self._ranks[0].failure = Failure("learner", str(error))
            return
        begun = self._generation.begun_at()
        self._run.fall_back(env_steps=begun.env_steps, updates=begun.updates)
        for rank in self._ranks:
            rank.failure = None
            self._lead(rank)
        self._count_lost()

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

    def _shard_started(self, rank: _Rank) -> bool:
        return started("replay actor", rank.shard.status.remote(), self._run.stop)

    def _introduce(self) -> None:
        """Tell each feeder who the others are."""
        for rank in self._ranks:
            rank.orders.others = [other.desk.handle for other in self._ranks if other is not rank]

    def _lead(self, rank: _Rank) -> None:
        """Have the rank's feeder begin a pipeline to its present shard and learner."""
        learner = self._generation.learners[rank.index]
        try:
            version = self._progress(rank).version
        except RayError as error:
            rank.failure = Failure("learner", reason(error))
            return
        rank.orders.stations = Stations(rank.shard, learner, learner.weights.remote(), version)
        rank.orders.others_begun = max((r.last.updates_begun for r in self._ranks if r is not rank), default=0)

    def _progress(self, rank: _Rank) -> Progress:
        limit_s = self._config.cluster.collective_timeout_s + _MARGIN_S
        return ray.get(self._generation.learners[rank.index].progress.remote(), timeout=limit_s)

    # The account.

    def _count_lost(self) -> None:
        """What reached a shard, waits in none, and was not committed. Exact while no update is under way."""
        try:
            statuses, progress = self._statuses(), self._progress(self._ranks[0])
        except RayError:
            return  # another failure, which will be heard of, and counted after
        taken = self._arrived(statuses) - sum(status.env_steps for status in statuses)
        self._run.set_env_steps_lost(taken - (progress.env_steps - self._began_at))

    def _statuses(self) -> list[ShardStatus]:
        return ray.get([rank.shard.status.remote() for rank in self._ranks], timeout=_FINISH_S)

    def _arrived(self, statuses: list[ShardStatus]) -> int:
        return sum(rank.arrived_before for rank in self._ranks) + sum(status.arrived for status in statuses)

    # The end.

    def ask_for_state(self, deliver: Callable[[State], None]) -> None:
        """Have the next snapshot delivered."""
        self._snapshots.ask(deliver)

    def end(self) -> State | None:
        """Finish the updates under way, say where every env step went; returns the learner's last state."""
        if not self._generation.started(self._run.stop):
            return self._snapshots.newest  # the run was stopped while its learners began anew
        for rank in self._ranks:
            self._note(rank, rank.desk.finish(_FINISH_S))
        state = last_state(self._generation.learners[0], _FINISH_S)
        self._count_lost()
        statuses = self._statuses()
        self._run.account(self._arrived(statuses), sum(status.env_steps for status in statuses))
        return state

    def rescue(self) -> State | None:
        """The learner's present state if it still answers, else the last snapshot."""
        return self._snapshots.rescue(self._generation.learners[0])

    def close(self) -> None:
        """End every actor."""
        for rank in self._ranks:
            rank.desk.close()
            for actor in (rank.shard, *(hire.handle for hire in rank.members.values())):
                ray.kill(actor)
        self._generation.kill()
