"""The newest known states of the learner and of the replay sources, from which they are begun anew when they fail."""

import time
from collections.abc import Callable, Mapping, Set
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
_ANSWER_S = 10.0
"""How long a replay actor that is writing columns may take to answer whether it still lives."""


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
    ranks: Set[int]
    """Whose replay state belongs to it."""
    give_up: float
    learner: State | None = None

    def take(self, learner: State) -> None:
        """The learner's state has come."""
        self.learner = learner


class ReplaySnapshots:
    """Asks for the state of the replay sources for each checkpoint, and keeps the newest of each rank by value.

    Learner and replay actors go on meanwhile, and do not wait for each other: the learner's state is of a moment
    between two updates, that of a rank's sources of a moment between two exchanges. Of a rank that fails, or is late,
    a checkpoint has the newest state that is known; what comes late is known to the next one.

    Args:
      restored: the state of each rank before the first; None: fresh.
    """

    def __init__(self, restored: Mapping[int, State | None]):
        self.newest = dict(restored)
        self._asked: dict[int, ray.ObjectRef] = {}
        self._checkpoint: _Checkpoint | None = None

    def ask(self, shards: Mapping[int, Any], needed: Set[str],
            deliver: Callable[[State], None]) -> Callable[[State], None] | None:  # fmt: skip
        """Have the states of these ranks delivered, together with the learner's, which is given to what this returns.

        None: the checkpoint before still waits for them.
        """
        if self._checkpoint is not None:
            log.warning("a checkpoint still waits for replay contents: the one now due is left out")
            return None
        self._ask({rank: shard for rank, shard in shards.items() if rank not in self._asked}, needed)
        self._checkpoint = _Checkpoint(deliver, shards.keys(), time.monotonic() + _CONTENTS_S)
        return self._checkpoint.take

    def tick(self) -> None:
        """Keep what has come; deliver the checkpoint if that is all, or if the rest has not come in time."""
        self._receive()
        checkpoint = self._checkpoint
        if checkpoint is None or checkpoint.learner is None:
            return
        if self._asked and time.monotonic() < checkpoint.give_up:
            return
        self._checkpoint = None
        for rank in self._asked:
            self._tell(rank, f"no contents within {_CONTENTS_S:.0f} s")
        checkpoint.deliver(checkpoint.learner | self._section(checkpoint.ranks))

    def now(self, shards: Mapping[int, Any], needed: Set[str]) -> State:
        """The section of a last checkpoint, waited for while those that owe a part of it live: there is no next one."""
        self._ask(shards, needed)
        while self._asked:
            ray.wait(list(self._asked.values()), num_returns=len(self._asked), timeout=_CONTENTS_S)
            self._receive()
            self._give_up_silent({rank: shards[rank] for rank in self._asked})
        return self._section(shards.keys())

    def _ask(self, shards: Mapping[int, Any], needed: Set[str]) -> None:
        """The newest states must remain restorable, even if no checkpoint has them."""
        needed = needed | segment_files(section(self.newest))
        self._asked |= {rank: shard.contents.remote(needed) for rank, shard in shards.items()}

    def _receive(self) -> None:
        """Keep what has come."""
        for rank, ref in list(self._asked.items()):
            if not ray.wait([ref], timeout=0)[0]:
                continue
            del self._asked[rank]
            try:
                self.newest[rank] = ray.get(ref)
            except RayError as error:
                self._tell(rank, reason(error))

    def _give_up_silent(self, writing: Mapping[int, Any]) -> None:
        """Wait no more for actors that stand still. One that died answers too: with an error, as its contents do."""
        for rank, shard in writing.items():
            if ray.wait([shard.status.remote()], timeout=_ANSWER_S)[0]:
                log.info("replay actor %d: its contents are still being written", rank)
            else:
                del self._asked[rank]
                self._tell(rank, f"no contents, and no answer within {_ANSWER_S:.0f} s")

    def _section(self, ranks: Set[int]) -> State:
        return section({rank: self.newest[rank] for rank in ranks})

    def _tell(self, rank: int, why: str) -> None:
        instead = "has those known before" if self.newest[rank] else "is without its contents"
        log.warning("replay actor %d: %s; a checkpoint %s", rank, why, instead)
