"""The newest known states of the learner and of the replay sources, from which they are begun anew when they fail."""

import time
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayError

from rl_platform.runtime.checkpoint import State
from rl_platform.runtime.ray_actors import reason
from rl_platform.runtime.replay_states import section, segment_files
from rl_platform.runtime.run_log import log

_CONTENTS_S = 60.0
"""How long a checkpoint may wait for the state of the replay sources, whose columns must be written first."""


class Snapshots:
    """Asks for the learner's state now and then, between two of its updates, and keeps the newest by value.

    Args:
      restored: the state before the first snapshot; None: the learner began with fresh weights.
      every_s: time between two snapshots.
    """

    def __init__(self, restored: State | None, *, every_s: float):
        self.newest = restored
        self._every_s = every_s
        self._due = time.monotonic() + every_s
        self._asked: ray.ObjectRef | None = None
        self._deliveries: list[Callable[[State], None]] = []

    def ask(self, deliver: Callable[[State], None]) -> None:
        """Have the next snapshot delivered too."""
        self._deliveries.append(deliver)
        self._due = time.monotonic()

    def tick(self, learner: Any) -> None:
        """Take a snapshot that has come, ask for one that is due."""
        if self._asked is None:
            if time.monotonic() >= self._due:
                self._due = time.monotonic() + self._every_s
                self._asked = learner.state.remote()
        elif ray.wait([self._asked], timeout=0)[0]:
            asked, self._asked = self._asked, None
            self._take(asked)

    def forget_asked(self) -> None:
        """The learner that was asked is no more."""
        self._asked = None
        if self._deliveries:
            self._due = time.monotonic()

    def _take(self, asked: ray.ObjectRef) -> None:
        try:
            self.newest = ray.get(asked)
        except RayError:
            return  # its feeder hears of the failure, and what to do about it is decided there
        deliveries, self._deliveries = self._deliveries, []
        for deliver in deliveries:
            deliver(self.newest)


@dataclass
class _Checkpoint:
    """One that is being put together."""

    deliver: Callable[[State], None]
    asked: dict[int, ray.ObjectRef]
    """By rank: whose replay state has not come."""
    replay: dict[int, State]
    give_up: float
    learner: State | None = None

    def take(self, learner: State) -> None:
        """The learner's state has come."""
        self.learner = learner


class ReplaySnapshots:
    """Asks for the state of the replay sources for each checkpoint, and keeps the newest of each rank by value.

    Learner and replay actors go on meanwhile, and do not wait for each other: the learner's state is of a moment
    between two updates, that of a rank's sources of a moment between two exchanges.

    Args:
      restored: the state of each rank before the first; None: fresh.
    """

    def __init__(self, restored: Mapping[int, State | None]):
        self.newest = dict(restored)
        self._checkpoint: _Checkpoint | None = None

    def ask(self, shards: Mapping[int, Any], needed: Set[str],
            deliver: Callable[[State], None]) -> Callable[[State], None] | None:  # fmt: skip
        """Have the states of these ranks delivered, together with the learner's, which is given to what this returns.

        None: the checkpoint before still waits for them.
        """
        if self._checkpoint is not None:
            log.warning("a checkpoint still waits for replay contents: the one now due is left out")
            return None
        self._checkpoint = _Checkpoint(deliver, self._asked(shards, needed), {}, time.monotonic() + _CONTENTS_S)
        return self._checkpoint.take

    def tick(self) -> None:
        """Deliver the checkpoint if all has come, or without what has not come in time."""
        checkpoint = self._checkpoint
        if checkpoint is None:
            return
        self._receive(checkpoint.asked, checkpoint.replay)
        late = time.monotonic() >= checkpoint.give_up
        if checkpoint.learner is None or (checkpoint.asked and not late):
            return
        self._checkpoint = None
        _tell_of_late(checkpoint.asked)
        checkpoint.deliver(checkpoint.learner | section(checkpoint.replay))

    def now(self, shards: Mapping[int, Any], needed: Set[str]) -> State:
        """The section of a last checkpoint, waited for."""
        if not shards:
            return {}
        asked, states = self._asked(shards, needed), {}
        ray.wait(list(asked.values()), num_returns=len(asked), timeout=_CONTENTS_S)
        self._receive(asked, states)
        _tell_of_late(asked)
        return section(states)

    def _asked(self, shards: Mapping[int, Any], needed: Set[str]) -> dict[int, ray.ObjectRef]:
        """The newest states must remain restorable, even if no checkpoint has them."""
        needed = needed | segment_files(section(self.newest))
        return {rank: shard.contents.remote(needed) for rank, shard in shards.items()}

    def _receive(self, asked: dict[int, ray.ObjectRef], states: dict[int, State]) -> None:
        """Move what has come from `asked` to `states`."""
        for rank, ref in list(asked.items()):
            if not ray.wait([ref], timeout=0)[0]:
                continue
            del asked[rank]
            try:
                states[rank] = self.newest[rank] = ray.get(ref)
            except RayError as error:
                log.warning("replay actor %d: a checkpoint is without its contents: %s", rank, reason(error))


def _tell_of_late(ranks: Iterable[int]) -> None:
    for rank in ranks:
        log.warning("replay actor %d: no contents within %.0f s; a checkpoint is without them", rank, _CONTENTS_S)
