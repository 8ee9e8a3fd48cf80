"""One learner rank, as the supervisor keeps it."""

from collections.abc import Sequence
from typing import Any

import ray

from rl_platform.core.types import ShardStatus
from rl_platform.runtime.feeder import Failure, FeederOrders, FeederReport
from rl_platform.runtime.feeder_client import FeederClient
from rl_platform.runtime.rollout_group import NewActor

_ANSWER_S = 60.0


class Rank:
    """One learner rank: its feeder, its shard, its rollout actors, and the orders that wait for its next turn."""

    def __init__(self, index: int, shard: Any, feeder: FeederClient):
        self.index = index
        self.shard, self.feeder = shard, feeder
        self.members: dict[int, NewActor] = {}
        self.orders = FeederOrders()
        self.last = FeederReport()
        self.feeder_failure: str | None = None
        self.failure: Failure | None = None
        self.arrived = 0
        """Env steps that reached the present shard, as last heard."""
        self.arrived_before = 0
        """Env steps that reached shards that are no more."""

    def add(self, new: NewActor) -> None:
        """Have a rollout actor join the feeder."""
        self.members[new.actor] = new
        self.orders.new_actors.append(new)

    def take_orders(self) -> FeederOrders:
        """What waits for the next turn."""
        orders, self.orders = self.orders, FeederOrders()
        return orders

    def shard_status(self) -> ShardStatus:
        """What the shard says now; RayError if it is lost."""
        return ray.get(self.shard.status.remote(), timeout=_ANSWER_S)


def env_steps_at_shards(ranks: Sequence[Rank]) -> tuple[int, int]:
    """Env steps that ever arrived at the ranks' shards, those no more included, and how many of them wait there."""
    statuses = [rank.shard_status() for rank in ranks]
    arrived = sum(rank.arrived_before + status.arrived for rank, status in zip(ranks, statuses, strict=True))
    return arrived, sum(status.env_steps for status in statuses)
